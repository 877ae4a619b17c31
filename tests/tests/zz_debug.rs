//! debug
use weft_compiler::graph::print;
use weft_compiler::compile::*; use weft_compiler::lower::Lowered; use weft_compiler::target::cpu::Cpu;
use weft_tests::random::Sample;
#[test]
fn one() {
    for pair in std::env::var("G").unwrap().split(',') {
    let (s, n) = pair.split_once(':').unwrap();
    let sample = Sample::new(s.parse().unwrap(), n.parse().unwrap());
    println!("{}", print(&sample.graph));
    let options = Options { settings: Vec::new(), optimise: std::env::var("OPT").is_ok(), checked: true, validate: true, gradients: false, cpu: Cpu::host() };
    let lowered = Lowered { name: "sample".into(), graph: sample.graph.clone(), limits: Vec::new() };
    programs("sample", &Default::default(), vec![lowered], &options, &mut |name, text, _| if std::env::var("D").unwrap_or_default() == name { println!("{}", text()) }).unwrap();
    println!("{:?}", sample.interpreted(&sample.graph).map(|o| o.into_iter().map(|(n, v)| (n, v.into_iter().take(8).collect::<Vec<_>>())).collect::<Vec<_>>()));
    println!("{:?}", sample.run(&mut sample.compiled(std::env::var("OPT").is_ok(), true, 1).unwrap()).map(|o| o.into_iter().map(|(n, v)| (n, v.into_iter().take(8).collect::<Vec<_>>())).collect::<Vec<_>>()));
    }
}
