//! The lines on the socket: their exact form, and what unreadable ones do.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use haven_api::{
    ApiError, Code, Finding, Format, Load, LoadMode, MAX_LINE, Notice, Reply, ReplyBody, Request,
    RequestBody, Severity, StandbyLifetime, VERSION, Version, decode_line, encode_line,
};

fn text<T: serde::Serialize>(document: &T) -> String {
    String::from_utf8(encode_line(document)).unwrap()
}

#[test]
fn requests_look_like_this() {
    assert_eq!(
        text(&Request::new(7, RequestBody::Status)),
        "{\"version\":1,\"id\":7,\"body\":{\"do\":\"status\"}}\n"
    );
    let request = Request::new(
        8,
        RequestBody::ResourceMove {
            resource: "vip".into(),
            node: Some("n2".into()),
            lifetime: None,
            wait: true,
            timeout_ms: None,
        },
    );
    assert_eq!(
        text(&request),
        "{\"version\":1,\"id\":8,\"body\":{\"do\":\"resource-move\",\"resource\":\"vip\",\
         \"node\":\"n2\",\"wait\":true,\"timeout_ms\":null}}\n"
    );
}

#[test]
fn optional_parts_of_a_request_may_be_left_out() {
    let line = br#"{"version":1,"id":1,"body":{"do":"configure-load","text":"property a=b"}}"#;
    let request: Request = decode_line(line).unwrap();
    assert_eq!(
        request.body,
        RequestBody::ConfigureLoad(Load { text: "property a=b".into(), ..Load::default() })
    );
    let line = br#"{"version":1,"id":1,"body":{"do":"node-standby","on":true}}"#;
    let request: Request = decode_line(line).unwrap();
    let RequestBody::NodeStandby { node: None, lifetime: StandbyLifetime::Forever, .. } =
        request.body
    else {
        panic!("{request:?}");
    };
}

#[test]
fn a_misspelt_field_of_a_request_is_refused_not_ignored() {
    let line =
        br#"{"version":1,"id":1,"body":{"do":"resource-stop","resource":"vip","wiat":true}}"#;
    let error = decode_line::<Request>(line).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("wiat"), "{cause}");
}

#[test]
fn replies_say_ok_or_error_and_whether_more_follows() {
    let progress = Notice { text: "stopping".into(), elapsed_ms: 3, pending: Vec::new() };
    assert_eq!(
        text(&Reply::more(7, ReplyBody::Progress(progress))),
        "{\"id\":7,\"more\":true,\"body\":{\"ok\":{\"progress\":{\"text\":\"stopping\",\
         \"elapsed_ms\":3}}}}\n"
    );
    let finding = Finding {
        code: "HV0102".into(),
        severity: Severity::Error,
        line: Some(3),
        column: Some(1),
        object: None,
        message: "unknown command \"primitve\"".into(),
        nearest: Some("primitive".into()),
        remedy: None,
    };
    let error = ApiError::new(Code::BadData, "nothing was loaded").findings(vec![finding]);
    let reply = Reply::last(7, Err(error));
    let line = text(&reply);
    assert!(
        line.starts_with("{\"id\":7,\"more\":false,\"body\":{\"error\":{\"code\":\"bad-data\"")
    );
    assert_eq!(decode_line::<Reply>(line.as_bytes()).unwrap(), reply);
}

#[test]
fn every_kind_of_request_survives_the_line() {
    let requests = [
        RequestBody::Hello,
        RequestBody::Watch { after: Some(12), interval_ms: None },
        RequestBody::Counters,
        RequestBody::ConfigureShow { format: Format::Xml },
        RequestBody::PlanningInput,
        RequestBody::ConfigureLoad(Load {
            text: "primitive vip ocf:haven:ip \\\n  params ip=192.0.2.1 # Ä\n".into(),
            mode: LoadMode::Replace,
            expected: Some(Version { admin_epoch: 0, epoch: 4, num_updates: 1 }),
            force: true,
            message: Some("why".into()),
            ..Load::default()
        }),
        RequestBody::ClusterToken { lifetime_ms: Some(60_000) },
        RequestBody::ClusterLeave { force: true },
        RequestBody::ClusterRemoveNode { node: "n3".into(), force: false },
        RequestBody::IpStatus,
        RequestBody::IpWhy { address: "2001:db8::1".parse().unwrap() },
        RequestBody::Handover { to: None },
        RequestBody::PlanRestart,
        RequestBody::KeyRotate,
    ];
    for body in requests {
        let request = Request::new(1, body);
        let line = encode_line(&request);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line each");
        assert_eq!(decode_line::<Request>(&line).unwrap(), request);
    }
}

#[test]
fn unreadable_lines_are_errors_and_never_panics() {
    let good = encode_line(&Request::new(1, RequestBody::IpWhy { address: [192, 0, 2, 1].into() }));
    for cut in 0..good.len() - 2 {
        assert!(decode_line::<Request>(&good[..cut]).is_err());
    }
    for position in 0..good.len() {
        for byte in [0_u8, b'"', b'{', b'\\', 0xff] {
            let mut damaged = good.clone();
            damaged[position] = byte;
            drop(decode_line::<Request>(&damaged));
        }
    }
    let deep = "[".repeat(100_000);
    assert!(decode_line::<Request>(deep.as_bytes()).is_err());
    assert!(decode_line::<Request>(&vec![b' '; MAX_LINE + 1]).is_err());
    assert_eq!(VERSION, 1, "raise it knowingly");
}
