//! `weft`
use weft_compiler::compile::*;
use weft_compiler::target::cpu::Cpu;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let spec = match load(std::path::Path::new(&args[1])) { Ok(s) => s, Err(Failure::Faults(d, s)) => { println!("{}", weft_dsl::render::render(&d, &s, weft_dsl::render::Style{color:false, short:false})); return }, Err(Failure::Other(e)) => { println!("{e:#}"); return } };
    let subject = spec.subject(args.get(2).map(|s| s.as_str())).unwrap();
    let options = Options { settings: vec![], optimise: args.get(4).is_none(), checked: false, validate: true, gradients: false, cpu: Cpu::host() };
    let r = spec.compile(&subject, &options, &mut |name, text, time| { println!("== {name} {time:?}"); if args.get(3).is_some_and(|a| a == name) { println!("{}", text()); } });
    match r { Ok(o) => println!("{} kernels {} bytes", o.plan.kernels.len(), o.objects.iter().map(Vec::len).sum::<usize>()), Err(Failure::Faults(d, s)) => println!("{}", weft_dsl::render::render(&d, &s, weft_dsl::render::Style{color:false, short:false})), Err(Failure::Other(e)) => println!("{e:#}") }
}
