use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use haven_api::{Hello, Notice};

use super::*;

/// A daemon that reads one line and answers with `answer`, then closes.
fn daemon(answer: Vec<u8>) -> (tempfile::TempDir, PathBuf, JoinHandle<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        reader.get_mut().write_all(&answer).unwrap();
        line
    });
    (folder, path, served)
}

fn done(text: &str) -> ReplyBody {
    ReplyBody::Done(Notice { text: text.into(), elapsed_ms: 1, pending: Vec::new() })
}

#[test]
fn progress_comes_before_the_last_reply() {
    let notice = Notice { text: "stopping".into(), elapsed_ms: 1, pending: Vec::new() };
    let mut lines = encode_line(&Reply::more(1, ReplyBody::Progress(notice)));
    lines.extend(encode_line(&Reply::last(9, Ok(done("of another request")))));
    lines.extend(encode_line(&Reply::last(1, Ok(done("moved")))));
    let (_folder, path, served) = daemon(lines);
    let mut client = Client::connect(&path).unwrap();
    let mut seen = 0;
    let body = RequestBody::ResourceClear { resource: Some("vip".into()), expired: false };
    let last = client.call_with(body, Some(PATIENCE), &mut |_| {
        seen += 1;
        Ok(())
    });
    assert_eq!(last, Ok(done("moved")));
    assert_eq!(seen, 1);
    assert_eq!(
        served.join().unwrap(),
        "{\"version\":1,\"id\":1,\"body\":{\"do\":\"resource-clear\",\"resource\":\"vip\"}}\n"
    );
}

#[test]
fn a_missing_socket_asks_whether_the_daemon_runs() {
    let folder = tempfile::tempdir().unwrap();
    let error = Client::connect(&folder.path().join("control.sock")).unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.to_string().contains("is the daemon running?"), "{error}");
}

#[test]
fn a_socket_nobody_listens_on_says_that_the_daemon_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    let error = Client::connect(&path).unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.to_string().contains("the daemon has ended"), "{error}");
}

#[test]
fn a_lost_answer_is_indeterminate_only_for_changes() {
    for (body, code) in
        [(RequestBody::Status, Code::Disconnected), (RequestBody::KeyRotate, Code::Indeterminate)]
    {
        for answer in [&b""[..], b"{\"id\":1,"] {
            let (_folder, path, _served) = daemon(answer.to_vec());
            let error = Client::connect(&path).unwrap().call(body.clone()).unwrap_err();
            assert_eq!(error.code, code, "{error}");
        }
    }
}

#[test]
fn a_daemon_that_stays_silent_ends_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let mut client = Client::connect(&path).unwrap();
    let silence = Some(Duration::from_millis(20));
    let error = client.call_with(RequestBody::Status, silence, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.code, Code::Timeout);
    assert!(error.message.contains("did not answer in time"), "{error}");
}

#[test]
fn rubbish_is_reported_with_what_is_wrong_with_it() {
    let (_folder, path, _served) = daemon(b"hello\n".to_vec());
    let error = Client::connect(&path).unwrap().call(RequestBody::Hello).unwrap_err();
    assert!(error.message.contains("line 1 column 1"), "{error}");
    let hello = Hello {
        api: 1,
        version: "0.1.0".into(),
        cluster: "demo".into(),
        node: "n1".into(),
        node_id: 1,
        boot: 4,
        pid: 7,
    };
    let reply = encode_line(&Reply::last(1, Ok(ReplyBody::Hello(hello.clone()))));
    let (_folder, path, _served) = daemon(reply);
    let answer = Client::connect(&path).unwrap().call(RequestBody::Hello);
    assert_eq!(answer, Ok(ReplyBody::Hello(hello)));
}
