use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use haven_api::{Notice, Reply, ReplyBody, Request, RequestBody, decode_line, encode_line};

use super::*;
use crate::{Initialised, JoinArgs, Joined};

#[derive(Default)]
struct Fake {
    socket: PathBuf,
    called: RefCell<Vec<String>>,
}

impl Daemon for Fake {
    fn control_socket(&self, _config: &Path) -> Result<PathBuf, ApiError> {
        Ok(self.socket.clone())
    }

    fn run(&self, config: &Path) -> Result<(), ApiError> {
        self.called.borrow_mut().push(format!("run {}", config.display()));
        Ok(())
    }

    fn init(&self, _config: &Path) -> Result<Initialised, ApiError> {
        Ok(Initialised {
            cluster: "demo".into(),
            node: "n1".into(),
            state: "/var/lib/haven".into(),
        })
    }

    fn join(&self, _config: &Path, how: &JoinArgs) -> Result<Joined, ApiError> {
        self.called.borrow_mut().push(format!("join {how:?}"));
        Err(ApiError::new(
            Code::NoPermission,
            "cannot join 10.0.0.1:5406: the token was used before",
        )
        .remedy("make a new one: haven cluster token"))
    }
}

fn haven(daemon: &Fake, words: &str) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("haven").chain(words.split_whitespace()).map(OsString::from);
    let extra = Extra {
        command: clap::Command::new("lab").about("A cluster in namespaces").subcommands(
            ["up", "relay"].map(|name| clap::Command::new(name).hide(name == "relay")),
        ),
        run: Box::new(|_| Ok(42)),
    };
    let code = run(args, daemon, &[extra], &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn the_command_line_is_consistent() {
    command(&[]).debug_assert();
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    let fake = Fake::default();
    assert_eq!(haven(&fake, "frobnicate").0, 64);
    assert_eq!(haven(&fake, "resource move").0, 64);
    assert_eq!(haven(&fake, "ip why not-an-address").0, 64);
    let (code, out, _) = haven(&fake, "--help");
    assert_eq!(code, 0);
    for word in ["Exit codes", "haven cluster init", "lab"] {
        assert!(out.contains(word), "help lacks {word:?}:\n{out}");
    }
    assert_eq!(haven(&fake, "--version").0, 0);
}

#[test]
fn every_exit_code_is_in_the_help() {
    let help = command(&[]).render_long_help().to_string();
    for code in Code::ALL {
        let number = format!(" {}  ", code.exit_code());
        assert!(help.contains(&number), "{} is not in the help", code.exit_code());
    }
}

#[test]
fn the_root_binary_carries_out_what_needs_the_daemons_crate() {
    let fake = Fake::default();
    assert_eq!(haven(&fake, "node run --config /etc/one.toml").0, 0);
    assert_eq!(fake.called.borrow().as_slice(), ["run /etc/one.toml"]);
    let (code, out, _) = haven(&fake, "cluster init");
    assert_eq!(code, 0);
    assert!(out.starts_with("cluster \"demo\" created"), "{out}");
    assert_eq!(haven(&fake, "lab").0, 42);
}

#[test]
fn errors_go_to_standard_error_or_into_the_document() {
    let fake = Fake::default();
    let (code, out, err) = haven(&fake, "cluster join 10.0.0.1:5406 secret --witness");
    assert_eq!((code, out.as_str()), (77, ""));
    assert_eq!(
        err,
        "haven: cannot join 10.0.0.1:5406: the token was used before\n  try: make a new one: haven cluster token\n"
    );
    let (code, out, err) = haven(&fake, "cluster join 10.0.0.1:5406 secret --json");
    assert_eq!((code, err.as_str()), (77, ""));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["error"]["code"], "no-permission");
    assert_eq!(document["exit_code"], 77);
}

#[test]
fn a_change_waits_and_shows_progress() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let served = thread::spawn(move || {
        let mut requests = Vec::new();
        for _ in 0..2 {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line).unwrap();
            let request: Request = decode_line(&line).unwrap();
            let notice = |text: &str, elapsed_ms| Notice {
                text: text.into(),
                elapsed_ms,
                pending: Vec::new(),
            };
            for elapsed in [1, 2] {
                let progress = ReplyBody::Progress(notice("stopping vip on n1", elapsed));
                reader
                    .get_mut()
                    .write_all(&encode_line(&Reply::more(request.id, progress)))
                    .unwrap();
            }
            let done = ReplyBody::Done(notice("vip runs on n2", 4));
            reader.get_mut().write_all(&encode_line(&Reply::last(request.id, Ok(done)))).unwrap();
            requests.push(request.body);
        }
        requests
    });
    let fake = Fake { socket, ..Fake::default() };
    let (code, out, err) = haven(&fake, "resource move vip n2 --timeout 5s");
    assert_eq!((code, out.as_str()), (0, "vip runs on n2 (4 ms)\n"));
    assert_eq!(err, "… stopping vip on n1 (1 ms)\n", "the same step is told once");
    let (code, out, _) = haven(&fake, "resource move vip n2 --no-wait --json");
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["version"], 1);
    assert_eq!(document["done"]["text"], "vip runs on n2");
    let (resource, node) = ("vip".to_owned(), Some("n2".to_owned()));
    assert_eq!(
        served.join().unwrap(),
        [
            RequestBody::ResourceMove {
                resource: resource.clone(),
                node: node.clone(),
                lifetime: None,
                wait: true,
                timeout_ms: Some(5_000)
            },
            RequestBody::ResourceMove {
                resource,
                node,
                lifetime: None,
                wait: false,
                timeout_ms: Some(60_000)
            },
        ]
    );
}

#[test]
fn completion_and_manual_cover_the_extra_commands() {
    let fake = Fake::default();
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = haven(&fake, &format!("completion {shell}"));
        assert_eq!(code, 0);
        assert!(script.contains("standby") && script.contains("lab"), "{shell}");
        assert!(!script.contains("relay"), "{shell} offers a hidden command");
    }
    let (_, page, _) = haven(&fake, "man");
    assert!(page.contains(".TH haven 8") && page.contains("lab"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = haven(&fake, &format!("man --out {}", folder.path().display()));
    assert_eq!(code, 0, "{err}");
    let is_there = |page: &str| folder.path().join(page).exists();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let page = std::fs::read_to_string(entry.unwrap().path()).unwrap().replace('\\', "");
        let named = page.lines().filter_map(|line| line.strip_suffix("(8)"));
        for name in named {
            assert!(is_there(&format!("{name}.8")), "{name} is referred to and has no page");
        }
    }
    assert!(is_there("haven-lab-up.8") && !is_there("haven-lab-relay.8"), "{err}");
    let page = std::fs::read_to_string(folder.path().join("haven-lab.8")).unwrap();
    assert!(page.contains("up") && !page.contains("relay"), "{page}");
    let page = std::fs::read_to_string(folder.path().join("haven-resource-move.8")).unwrap();
    assert!(page.contains("resource clear"), "{page}");
}

/// A CIB in which stickiness keeps `a` on n1.
fn sticky() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/policy");
    std::fs::read_to_string(root.join("stickiness.xml")).unwrap()
}

#[test]
fn a_saved_placement_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cib.xml");
    std::fs::write(&file, sticky()).unwrap();
    let fake = Fake::default();
    let asked = format!("explain a --xml-file {}", file.display());
    let (code, out, err) = haven(&fake, &asked);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("a runs on n1 and stays.\n"), "{out}");
    let (code, out, _) = haven(&fake, &format!("{asked} --node n2 --json"));
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    let instance = &document["instances"][0];
    assert_eq!(instance["deciding"]["rule"], "score");
    assert_eq!(instance["deciding"]["margin"], 50);
    assert_eq!(instance["table"][0]["terms"][0]["kind"], "stickiness");
    assert_eq!(document["counterfactuals"][0]["change"], "with resource-stickiness=0 for a");
    let (code, _, err) = haven(&fake, &asked.replace(" a ", " b7 "));
    assert_eq!(code, 105, "{err}");
    assert!(err.contains("there is no resource of that name"), "{err}");
}

#[test]
fn what_is_live_is_explained_from_what_the_coordinator_plans_with() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).unwrap();
        let request: Request = decode_line(&line).unwrap();
        let version = haven_api::Version { admin_epoch: 0, epoch: 1, num_updates: 0 };
        let format = haven_api::Format::Xml;
        let answer = ReplyBody::Configuration { version, format, text: sticky() };
        reader.get_mut().write_all(&encode_line(&Reply::last(request.id, Ok(answer)))).unwrap();
        request.body
    });
    let fake = Fake { socket, ..Fake::default() };
    let (code, out, err) = haven(&fake, "explain a");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("+150 resource-stickiness"), "{out}");
    assert_eq!(served.join().unwrap(), RequestBody::PlanningInput);
}
