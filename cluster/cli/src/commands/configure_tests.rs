use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use haven_api::{Reply, Request, decode_line, encode_line};

use super::*;
use crate::output::Output;
use crate::{Daemon, Initialised, JoinArgs, Joined};

const SHOWN: &str = "primitive web systemd:nginx op monitor interval=10s\n";

/// A daemon that shows [`SHOWN`] and answers every load with `answer`.
struct Fake {
    folder: tempfile::TempDir,
    loads: mpsc::Receiver<RequestBody>,
}

impl Fake {
    fn new(answer: Result<ReplyBody, ApiError>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener =
            std::os::unix::net::UnixListener::bind(folder.path().join("control.sock")).unwrap();
        let (tell, loads) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = io::BufReader::new(stream.unwrap());
                let mut line = Vec::new();
                reader.read_until(b'\n', &mut line).unwrap();
                let request: Request = decode_line(&line).unwrap();
                let body = if request.body == (RequestBody::ConfigureShow { format: Format::Crm }) {
                    let version = Version { admin_epoch: 0, epoch: 7, num_updates: 0 };
                    Ok(ReplyBody::Configuration {
                        version,
                        format: Format::Crm,
                        text: SHOWN.into(),
                    })
                } else {
                    tell.send(request.body).unwrap();
                    answer.clone()
                };
                reader.get_mut().write_all(&encode_line(&Reply::last(request.id, body))).unwrap();
            }
        });
        Self { folder, loads }
    }

    /// Runs `configure edit` with an editor that is a command line.
    fn edit(&self, editor: &str) -> (Result<u8, ApiError>, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(false, &mut out, &mut err);
        let mut session =
            Session { config: Path::new("n1.toml"), daemon: self, output: &mut output };
        let result = edit(editor, None, &mut session);
        (result, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }
}

impl Daemon for Fake {
    fn control_socket(&self, _: &Path) -> Result<PathBuf, ApiError> {
        Ok(self.folder.path().join("control.sock"))
    }

    fn run(&self, _: &Path) -> Result<(), ApiError> {
        Err(not_here())
    }

    fn init(&self, _: &Path) -> Result<Initialised, ApiError> {
        Err(not_here())
    }

    fn join(&self, _: &Path, _: &JoinArgs) -> Result<Joined, ApiError> {
        Err(not_here())
    }
}

fn not_here() -> ApiError {
    ApiError::new(Code::Unavailable, "this daemon only shows and loads")
}

#[test]
fn what_the_editor_leaves_replaces_the_version_that_was_shown() {
    let version = Version { admin_epoch: 0, epoch: 8, num_updates: 0 };
    let committed =
        ReplyBody::Committed { version, changed: vec!["web".into()], findings: Vec::new() };
    let fake = Fake::new(Ok(committed));
    let (result, out, err) = fake.edit("sed -i s/nginx/apache2/");
    assert_eq!(result, Ok(0), "{err}");
    assert_eq!(out, "version 0.8.0 committed: web\n");
    assert_eq!(
        fake.loads.recv().unwrap(),
        RequestBody::ConfigureLoad(Load {
            text: SHOWN.replace("nginx", "apache2"),
            mode: LoadMode::Replace,
            expected: Some(Version { admin_epoch: 0, epoch: 7, num_updates: 0 }),
            message: Some("configure edit".into()),
            ..Load::default()
        })
    );
}

#[test]
fn an_unchanged_text_is_not_loaded() {
    let fake = Fake::new(Err(not_here()));
    let (result, _, err) = fake.edit("true");
    assert_eq!((result, err.as_str()), (Ok(0), "nothing was changed\n"));
    assert!(fake.loads.try_recv().is_err());
}

#[test]
fn a_refused_text_is_kept_and_its_place_told() {
    let stale = ApiError::new(Code::StaleWrite, "version 0.7.0 was expected, 0.9.0 is in force");
    let fake = Fake::new(Err(stale.clone()));
    let (result, _, err) = fake.edit("sed -i s/nginx/apache2/");
    assert_eq!(result, Err(stale));
    let kept = err.trim().strip_prefix("your text is kept in ").unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), SHOWN.replace("nginx", "apache2"));
    fs::remove_file(kept).unwrap();
}

#[test]
fn an_editor_that_fails_or_is_not_there_changes_nothing() {
    let fake = Fake::new(Err(not_here()));
    for editor in ["false", "no-such-editor-here"] {
        let error = fake.edit(editor).0.unwrap_err();
        assert_eq!(error.code, Code::Failed, "{error}");
        assert!(error.message.contains(editor), "{error}");
    }
    assert!(fake.loads.try_recv().is_err());
}

#[test]
fn lines_are_judged_without_a_daemon() {
    let known = crm::Facts::default();
    let findings = judge_alone("primitive a lsb:b\nlocation l aa 1: n1\n", false, &known);
    let found: Vec<(&str, Option<u32>)> =
        findings.iter().map(|finding| (finding.code.as_str(), finding.line)).collect();
    assert_eq!(found, [("HV0306", Some(2)), ("HV0313", Some(1))]);
    let misspelt = judge_alone("primitve a lsb:b", false, &known);
    assert_eq!(misspelt[0].nearest.as_deref(), Some("primitive"));
}

#[test]
fn a_file_that_is_not_there_is_said_to_be_none() {
    let error = read(Path::new("/nonexistent.crm")).unwrap_err();
    assert_eq!(error.code, Code::BadData);
    assert_eq!(error.message, "cannot read /nonexistent.crm: there is no such file");
}
