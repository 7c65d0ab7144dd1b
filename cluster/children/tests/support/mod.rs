//! What the tests of children share.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use haven_host::process::Cgroups;
use haven_types::operation::{AgentName, Operation};

/// A directory for agents and what they note down.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a program of the shell.
    pub fn script(&self, file: &str, body: &str) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Control groups where this machine has them.
pub fn groups() -> Option<Cgroups> {
    Cgroups::open(&format!("children-{}", std::process::id()))
}

pub fn name(text: &str) -> AgentName {
    let parts: Vec<&str> = text.splitn(3, ':').collect();
    let (provider, name) = match parts[..] {
        [_, provider, name] => (Some(provider.to_owned()), name),
        [_, name] => (None, name),
        _ => (None, ""),
    };
    AgentName { standard: parts[0].to_owned(), provider, name: name.to_owned() }
}

pub fn operation(agent: &str, action: &str, params: &[(&str, &str)]) -> Operation {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Operation {
        resource: agent.replace([':', '/'], "-"),
        agent: name(agent),
        action: action.to_owned(),
        interval: Duration::ZERO,
        timeout: Duration::from_secs(20),
        params: params.collect(),
        meta: BTreeMap::new(),
    }
}

pub async fn until(mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < limit, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|answer| answer.stdout == b"0\n")
}

pub fn run(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{program} {args:?}: {said}");
}

/// A TCP port of the loopback interface that nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
