//! The `weft` command as a user meets it: the built binary, its output and what it returns.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const LINEAR: &str = "\
model Linear(width = 3) {
  axis feature = width
  param weight: [feature] ~ normal(std: 1.0)

  fn (x: [batch, feature]) -> (y: [batch], scaled: [batch, feature]) {
    (y: dot[feature](x, weight), scaled: x * weight)
  }

  fn doubled(x: [batch, feature]) -> [batch, feature] = 2 * x
}
";

fn weft(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.current_dir(folder).args(args).env_remove("COLUMNS").env_remove("RUST_BACKTRACE").env_remove("CC");
    command
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("linear.weft"), LINEAR).unwrap();
    folder
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// `x` [2, 3] as a safetensors file.
fn write_x(path: &Path) {
    let header = br#"{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([1.0f32, 2.0, 3.0, -1.0, 0.5, 0.0].iter().flat_map(|x| x.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_help() {
    let here = folder();
    let mut text = out(&weft(here.path(), &["--help"]));
    for name in
        ["new", "check", "fmt", "run", "train", "evaluate", "generate", "bench", "test", "build", "graph", "info", "explain"]
    {
        let help = weft(here.path(), &[name, "--help"]);
        assert_eq!(code(&help), 0, "{name}");
        text += &format!("\n==== weft {name} --help\n\n{}", out(&help));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn asking_wrongly_is_2() {
    let here = folder();
    for args in [&["chek"] as &[&str], &["check"], &["run", "linear.weft", "--set", "width"], &["new"], &["build", "--o"]] {
        let output = weft(here.path(), args);
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(err(&output).contains("--help"), "{args:?}: {}", err(&output));
    }
}

#[test]
fn faults_are_told_to_people_and_to_programs() {
    let here = folder();
    assert_eq!(code(&weft(here.path(), &["check", "linear.weft"])), 0);
    fs::write(here.path().join("wrong.weft"), LINEAR.replace("2 * x", "2 * z")).unwrap();
    let people = weft(here.path(), &["check", "linear.weft", "wrong.weft"]);
    assert_eq!(code(&people), 1);
    assert!(err(&people).contains("wrong.weft:9:") && err(&people).contains('z'), "{}", err(&people));
    assert!(!err(&people).contains('\u{1b}'));
    let colored = weft(here.path(), &["check", "wrong.weft", "--color", "always"]);
    assert!(err(&colored).contains('\u{1b}'));
    let programs = weft(here.path(), &["check", "wrong.weft", "--json"]);
    assert_eq!(code(&programs), 1);
    let line: serde_json::Value = serde_json::from_str(out(&programs).lines().next().unwrap()).unwrap();
    assert_eq!((&line["line"], &line["severity"]), (&9.into(), &"error".into()));
    // Every command that reads a specification tells them alike.
    assert_eq!(err(&weft(here.path(), &["info", "wrong.weft"])), err(&weft(here.path(), &["check", "wrong.weft"])));
    let missing = weft(here.path(), &["check", "nowhere.weft"]);
    assert_eq!(code(&missing), 1);
    assert!(err(&missing).contains("nowhere.weft"), "{}", err(&missing));
    fs::write(here.path().join("bytes.weft"), [0xff, 0xfe]).unwrap();
    assert_eq!(code(&weft(here.path(), &["check", "bytes.weft"])), 1);
}

#[test]
fn formatting_settles() {
    let here = folder();
    let place = here.path().join("linear.weft");
    fs::write(&place, LINEAR.replace("width = 3", "width=3")).unwrap();
    let checked = weft(here.path(), &["fmt", "--check", "linear.weft"]);
    assert_eq!((code(&checked), out(&checked).as_str()), (1, "linear.weft\n"));
    assert_eq!(code(&weft(here.path(), &["fmt", "linear.weft"])), 0);
    assert_eq!(fs::read_to_string(&place).unwrap(), LINEAR);
    assert_eq!(code(&weft(here.path(), &["fmt", "--check", "linear.weft"])), 0);
    // What does not parse is left as it is.
    fs::write(&place, "model {").unwrap();
    assert_eq!(code(&weft(here.path(), &["fmt", "linear.weft"])), 1);
    assert_eq!(fs::read_to_string(&place).unwrap(), "model {");
}

#[test]
fn codes_are_explained() {
    let here = folder();
    let one = weft(here.path(), &["explain", "w0001"]);
    assert_eq!(code(&one), 0);
    assert!(out(&one).starts_with("W0001: ") && out(&one).contains("Has it not:"), "{}", out(&one));
    assert!(out(&weft(here.path(), &["explain"])).lines().count() > 3);
    let none = weft(here.path(), &["explain", "W9"]);
    assert_eq!(code(&none), 1);
    assert!(err(&none).contains("there is no code `W9`"), "{}", err(&none));
}

#[test]
fn a_new_project_is_sound_and_trains() {
    let here = folder();
    assert_eq!(code(&weft(here.path(), &["new", "hello"])), 0);
    assert_eq!(code(&weft(here.path(), &["check", "hello/hello.weft"])), 0);
    assert_eq!(code(&weft(here.path(), &["fmt", "--check", "hello/hello.weft"])), 0);
    // A second one changes nothing, a name that is none makes nothing.
    let again = weft(here.path(), &["new", "hello"]);
    assert_eq!(code(&again), 1);
    assert!(err(&again).contains("nothing was changed"), "{}", err(&again));
    assert_eq!(code(&weft(here.path(), &["new", "No way"])), 1);
    assert!(!here.path().join("No way").exists());

    let trained = weft(here.path(), &["train", "hello/hello.weft", "--steps", "3", "--checked", "-q"]);
    assert_eq!(code(&trained), 0, "{}", err(&trained));
    let written = weft(here.path(), &["generate", "hello/hello.weft", "--prompt", "The", "--tokens", "5", "-q"]);
    assert_eq!(code(&written), 0, "{}", err(&written));
    // The prompt, five characters (of which some may end lines), the end of the line.
    assert!(out(&written).starts_with("The"));
    assert_eq!(out(&written).chars().count(), 9, "{:?}", out(&written));
    let scored = weft(here.path(), &["evaluate", "hello/hello.weft", "--json", "-q"]);
    let score: serde_json::Value = serde_json::from_str(&out(&scored)).unwrap();
    assert!(score["loss"].as_f64().is_some_and(|loss| (2.0..4.0).contains(&loss)), "{score}");
    let gradients = weft(here.path(), &["train", "hello/hello.weft", "--gradients", "g.safetensors", "-q"]);
    assert_eq!(code(&gradients), 0, "{}", err(&gradients));
    let bytes = fs::read(here.path().join("g.safetensors")).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("\"grad.layers.{}.norm_mlp."));
}

#[test]
fn an_executable_does_what_the_command_does() {
    let here = folder();
    write_x(&here.path().join("x.safetensors"));
    let built = weft(here.path(), &["build", "linear.weft", "-o", "linear", "--set", "width=3"]);
    assert_eq!(code(&built), 0, "{}", err(&built));
    let size = fs::metadata(here.path().join("linear")).unwrap().len();
    assert!(size < 15 << 20, "{size} bytes");
    assert!(err(&built).starts_with("linear: ") && err(&built).trim_end().ends_with("MB"), "{}", err(&built));
    let exe = |args: &[&str]| Command::new(here.path().join("linear")).current_dir(here.path()).args(args).output().unwrap();
    assert_eq!(out(&exe(&["info"])), out(&weft(here.path(), &["info", "linear.weft"])));
    for function in [&[] as &[&str], &["doubled"]] {
        let rest: &[&str] = &["--draw", "7", "--inputs", "x.safetensors"];
        let of_exe = exe(&[&["run"], function, rest].concat());
        let of_weft = weft(here.path(), &[&["run", "linear.weft"], function, rest].concat());
        assert_eq!((code(&of_exe), code(&of_weft)), (0, 0), "{}{}", err(&of_exe), err(&of_weft));
        assert_eq!(out(&of_exe), out(&of_weft));
    }
    assert!(out(&exe(&["run", "doubled", "--draw", "7", "--inputs", "x.safetensors"])).contains("2 4 6 -2 1 0"));
    let ldd = Command::new("ldd").arg(here.path().join("linear")).output().unwrap();
    assert!(!out(&ldd).contains("LLVM") && out(&ldd).contains("libc.so"), "{}", out(&ldd));
}

#[test]
fn what_cannot_be_done_is_said_in_words() {
    let here = folder();
    let no_linker = command(here.path(), &["build", "linear.weft"]).env("CC", "no-such-compiler").output().unwrap();
    assert_eq!(code(&no_linker), 1);
    assert!(err(&no_linker).contains("apt-get install gcc"), "{}", err(&no_linker));
    let failing = command(here.path(), &["build", "linear.weft"]).env("CC", "false").output().unwrap();
    assert_eq!(code(&failing), 1);
    assert!(err(&failing).contains("the linker `false` failed"), "{}", err(&failing));
    assert!(!here.path().join("linear").exists());
    let onto_folder = weft(here.path(), &["build", "linear.weft", "-o", "."]);
    assert_eq!(code(&onto_folder), 1);
    assert!(err(&onto_folder).contains("is a folder: name another file with -o"), "{}", err(&onto_folder));
    for (args, said) in [
        (&["build", "linear.weft", "--target-cpu", "z80"] as &[&str], "there is no processor `z80`"),
        (&["info", "linear.weft", "--item", "Liner"], "no recipe or model `Liner`"),
        (&["info", "linear.weft", "--dump", "fus"], "there is no stage `fus`"),
        (&["run", "linear.weft", "tripled"], "`doubled`"),
        (&["train", "linear.weft"], "needs a recipe"),
        (&["run", "linear.weft", "--draw", "1"], "--inputs"),
    ] {
        let output = weft(here.path(), args);
        assert_eq!(code(&output), 1, "{args:?}");
        assert!(err(&output).contains(said), "{args:?}: {}", err(&output));
    }
}

#[test]
fn what_was_tuned_is_used_where_it_was() {
    let here = folder();
    let graph = || weft(here.path(), &["graph", "linear.weft", "--color", "never"]);
    let tuned = here.path().join("linear.tuned.json");
    fs::write(&tuned, r#"{"machines": [{"processor": "another", "threads": 5, "products": {}}]}"#).unwrap();
    let noted = graph();
    assert_eq!(code(&noted), 0);
    assert!(err(&noted).contains("note: linear.tuned.json is not used here: it was tuned on another with 5 threads"));
    fs::write(&tuned, "{").unwrap();
    let broken = graph();
    assert_eq!(code(&broken), 1);
    assert!(err(&broken).contains("linear.tuned.json does not hold what `weft build --tune` writes"), "{}", err(&broken));
    fs::remove_file(&tuned).unwrap();
    let nothing = weft(here.path(), &["build", "linear.weft", "--tune=doubled"]);
    assert_eq!(code(&nothing), 0, "{}", err(&nothing));
    assert!(out(&nothing).contains("there is no product in it to tune"), "{}", out(&nothing));
    assert!(!tuned.exists());
    let unsized_product = "model M {\n  axis i = 64\n  axis o = 64\n  param w: [o, i] ~ normal(std: 1.0)\n\n  \
                           fn (x: [row, i]) -> [row, o] = dot[i](x, w)\n}\n";
    fs::write(here.path().join("m.weft"), unsized_product).unwrap();
    let which = weft(here.path(), &["build", "m.weft", "--tune"]);
    assert_eq!(code(&which), 1);
    assert!(err(&which).contains("nothing says how large `row` is"), "{}", err(&which));
    assert!(err(&which).contains("--inputs"), "{}", err(&which));
}

#[test]
fn stages_are_dumped_and_timed() {
    let here = folder();
    let printed = weft(here.path(), &["info", "linear.weft", "--dump", "doubled.fuse,plan", "--timings"]);
    assert_eq!(code(&printed), 0, "{}", err(&printed));
    let heads: Vec<String> = out(&printed).lines().filter(|line| line.starts_with("== ")).map(Into::into).collect();
    assert_eq!(heads, ["== doubled.fuse", "== forward.plan", "== doubled.plan"]);
    assert!(err(&printed).contains("forward.fuse") && err(&printed).contains(" ms"));
    assert_eq!(code(&weft(here.path(), &["info", "linear.weft", "--dump", "lower", "--dump-dir", "dumps"])), 0);
    assert!(fs::read_to_string(here.path().join("dumps/lower.txt")).unwrap().contains("graph"));
}

#[test]
fn a_graph_is_a_picture_that_graphviz_takes() {
    let here = folder();
    weft(here.path(), &["new", "hello"]);
    let picture = weft(here.path(), &["graph", "hello/hello.weft", "--dot", "-o", "hello.dot"]);
    assert_eq!(code(&picture), 0, "{}", err(&picture));
    let text = fs::read_to_string(here.path().join("hello.dot")).unwrap();
    assert!(text.starts_with("digraph \"forward\" {") && text.contains("× 2"), "{text}");
    // Where Graphviz is there it has the last word.
    if let Ok(drawn) = Command::new("dot").args(["-Tsvg", "hello.dot"]).current_dir(here.path()).output() {
        assert!(drawn.status.success(), "{}", err(&drawn));
    }
    let text = weft(here.path(), &["graph", "linear.weft", "--text"]);
    assert!(weft_compiler::graph::parse(&out(&text)).is_ok(), "{}", out(&text));
}

const TESTED: &str = "\
test \"holds\" {
  x = normal[row = 2, feature = 3]()
  assert near(sum[feature](x + x), 2 * sum[feature](x))
  assert 2 + 2 == 4
}

test \"does not hold\" {
  axis feature = 3
  assert 2 * index(feature) == index(feature)
  assert index(feature) < 2
  assert near(1.0 / 3, 0.333)
}
";

#[test]
fn tests_of_a_specification() {
    let here = folder();
    fs::write(here.path().join("tested.weft"), TESTED).unwrap();
    for way in [&[] as &[&str], &["--interpret"], &["--no-optimise", "--checked"]] {
        let all = weft(here.path(), &[&["test", "tested.weft"], way].concat());
        assert_eq!(code(&all), 1);
        assert!(out(&all).starts_with("ok      holds\nFAILED  does not hold\n1 passed, 1 failed ("), "{}", out(&all));
        insta::assert_snapshot!("tests_that_fail", err(&all));
        let one = weft(here.path(), &[&["test", "tested.weft", "--only", "not", "--json"], way].concat());
        let lines: Vec<serde_json::Value> = out(&one).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["test"], &lines[0]["ok"]), (&"does not hold".into(), &false.into()));
        let places: Vec<_> = lines[0]["faults"].as_array().unwrap().iter().map(|fault| fault["line"].as_i64()).collect();
        assert_eq!(places, [Some(9), Some(10), Some(11)]);
        assert_eq!(lines[1], serde_json::json!({ "passed": 0, "failed": 1, "left_out": 1 }));
    }
    assert_eq!(code(&weft(here.path(), &["test", "tested.weft", "--only", "holds"])), 0);
    let none = weft(here.path(), &["test", "tested.weft", "--only", "nothing"]);
    assert_eq!(code(&none), 1);
    assert!(err(&none).contains("no test has `nothing` in its name"), "{}", err(&none));
}

/// What the library and the examples promise in their tests, compiled and interpreted.
#[test]
fn tests_of_the_library_and_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut specs = vec![root.join("tests/specs/alike.weft").display().to_string()];
    for folder in ["stdlib", "examples"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "weft") {
                specs.push(path.display().to_string());
            }
        }
    }
    for way in [&[] as &[&str], &["--interpret"]] {
        let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
        let all = weft(&root, &[&["test", "--json"], way, &specs].concat());
        assert_eq!(code(&all), 0, "{}{}", out(&all), err(&all));
        let sum: serde_json::Value = serde_json::from_str(out(&all).lines().last().unwrap()).unwrap();
        assert!(sum["passed"].as_i64().is_some_and(|passed| passed >= 20), "{sum}");
    }
}

const OPTIONAL: &str = "\
model Optional(width = 3) {
  axis feature = width
  param weight: [feature] ~ ones

  fn (
    x: [batch, feature],
    shift: [batch] = 0.5,
    seen: [batch, feature] of bool = index(feature) < 2,
    table: [other] = 1.0,
  ) -> [batch, feature] {
    select(seen, x * weight + shift, 0)
  }
}
";

/// Arguments with a default may be given or not, each by itself, to the command and to an executable.
#[test]
fn optional_arguments() {
    let here = folder();
    fs::write(here.path().join("optional.weft"), OPTIONAL).unwrap();
    let x = ("x", "F32", vec![2, 3], [1.0f32, 2.0, 3.0, -1.0, 0.5, 0.0].map(f32::to_le_bytes).concat());
    let shift = ("shift", "F32", vec![2], [10.0f32, 20.0].map(f32::to_le_bytes).concat());
    let seen = ("seen", "BOOL", vec![2, 3], vec![0, 0, 1, 1, 1, 1]);
    let table = ("table", "F32", vec![1], 0.0f32.to_le_bytes().to_vec());
    assert_eq!(code(&weft(here.path(), &["build", "optional.weft", "-o", "optional"])), 0);
    let executable = here.path().join("optional");
    let run = |given: &[&Stored]| {
        write_tensors(&here.path().join("in.safetensors"), given);
        let rest = ["--draw", "1", "--inputs", "in.safetensors"];
        let of_weft = weft(here.path(), &[&["run", "optional.weft"], &rest as &[&str]].concat());
        let of_exe = Command::new(&executable).current_dir(here.path()).arg("run").args(rest).output().unwrap();
        assert_eq!((out(&of_exe), err(&of_exe)), (out(&of_weft), err(&of_weft)));
        out(&of_weft) + &err(&of_weft)
    };
    assert!(run(&[&x]).contains(": 1.5 2.5 0 -0.5 1 0"));
    assert!(run(&[&x, &shift, &table]).contains(": 11 12 0 19 20.5 0"));
    assert!(run(&[&x, &seen, &table]).contains(": 0 0 3.5 -0.5 1 0.5"));
    assert!(run(&[&x, &seen, &shift, &table]).contains(": 0 0 13 19 20.5 20"));
    assert!(
        run(&[&x, &shift]).contains("`table` is not given, and nothing that is given tells how long its axis `other` is")
    );
    let info = out(&weft(here.path(), &["info", "optional.weft"]));
    assert!(info.contains("seen [batch, feature 3]: bool (optional), table [other] (optional)) -> output"), "{info}");
    assert!(!info.contains("forward?"), "{info}");
}

/// What the newcomer tries that cannot be: each is told what it is, at once.
#[test]
fn what_newcomers_try() {
    let here = folder();
    for name in ["if", "gelu"] {
        assert!(err(&weft(here.path(), &["new", name])).contains("cannot name a project"), "{name}");
        assert!(!here.path().join(name).exists());
    }
    assert_eq!(code(&weft(here.path(), &["new", "hello"])), 0);
    let part = weft(here.path(), &["run", "hello/hello.weft", "prefill"]);
    assert!(err(&part).contains("`prefill` cannot run alone: it is a part of `generate`"), "{}", err(&part));
    let none = err(&weft(here.path(), &["run", "linear.weft", "dubled"]));
    assert!(none.contains("`forward`, `doubled`"), "{none}");
    if let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") {
        let output = command(here.path(), &["info", "linear.weft"]).stdout(full).output().unwrap();
        assert_eq!((code(&output), err(&output).contains("what is to be printed cannot be written")), (1, true));
    }
    for command in ["build", "train"] {
        let long = weft(here.path(), &[command, "hello/hello.weft", "--set", "time=1000"]);
        assert!(err(&long).contains("error[W0205]: the sequences are longer than the model takes"), "{}", err(&long));
    }
    let memory = |accumulate: &str| {
        let info = out(&weft(here.path(), &["info", "hello/hello.weft", "--set", "batch=400", "--set", accumulate]));
        let values = info.split(" of activations and gradients").next().unwrap().rsplit(", ").next().unwrap();
        let (number, unit) = values.split_once(' ').unwrap();
        number.parse::<f64>().unwrap() * if unit == "MB" { 1e6 } else { 1e3 }
    };
    assert!(4.0 * memory("accumulate=10") < memory("accumulate=1"));
}

/// A tensor of a file: its name, kind, shape and bytes.
type Stored = (&'static str, &'static str, Vec<usize>, Vec<u8>);

/// Tensors as a safetensors file.
fn write_tensors(path: &Path, tensors: &[&Stored]) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, kind, shape, bytes) in tensors {
        let start = data.len();
        data.extend(bytes);
        let entry = serde_json::json!({ "dtype": kind, "shape": shape, "data_offsets": [start, data.len()] });
        header.insert((*name).into(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}
