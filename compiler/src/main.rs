//! `weft`
use weft_compiler::compile::*;
use weft_compiler::target::cpu::{self, Cpu};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let spec = match load(std::path::Path::new(&args[1])) { Ok(s) => s, Err(Failure::Faults(d, s)) => { println!("{}", weft_dsl::render::render(&d, &s, weft_dsl::render::Style{color:false, short:false})); return }, Err(Failure::Other(e)) => { println!("{e:#}"); return } };
    let subject = spec.subject(Some(&args[2])).unwrap();
    let env = |n: &str| std::env::var(n).ok();
    let options = Options { settings: vec![], optimise: env("NOOPT").is_none(), checked: env("CHECKED").is_some(), validate: true, gradients: false, cpu: Cpu::host() };
    let r = spec.compile(&subject, &options, &mut |name, text, time| { eprintln!("== {name} {time:?}"); if env("DUMP").is_some_and(|a| a == name) { println!("{}", text()); } });
    match r { Ok(o) => {
        println!("{} kernels {} bytes", o.plan.kernels.len(), o.objects.iter().map(Vec::len).sum::<usize>());
        let loaded = cpu::Loaded::new(&o.objects, &o.plan.kernels).unwrap();
        let kernels = o.plan.kernels.iter().map(|k| loaded.kernel(k).unwrap()).collect();
        let code = weft_runtime::cli::main(weft_runtime::exec::Compiled { plan: o.plan, kernels }, args[2..].iter().map(std::ffi::OsString::from));
        std::process::exit(code)
    }, Err(Failure::Faults(d, s)) => println!("{}", weft_dsl::render::render(&d, &s, weft_dsl::render::Style{color:false, short:false})), Err(Failure::Other(e)) => println!("{e:#}") }
}
