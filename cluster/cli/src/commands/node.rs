//! `haven node …`

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use haven_api::{
    ApiError, Code, Hello, Notice, ReplyBody, RequestBody, ResourceStatus, StandbyLifetime, Status,
};

use super::{Session, unexpected, wait_of};
use crate::args::{Node, Waiting};
use crate::{Client, duration, render};

pub(super) fn run(command: Node, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    match command {
        Node::Run => session.daemon.run(session.config).map(|()| 0),
        Node::Standby { node, until_reboot, waiting } => {
            let (wait, timeout_ms) = wait_of(&waiting);
            let lifetime =
                if until_reboot { StandbyLifetime::Reboot } else { StandbyLifetime::Forever };
            let body = RequestBody::NodeStandby { node, on: true, lifetime, wait, timeout_ms };
            session.change(body, Some(&waiting))
        }
        Node::Online { node, waiting } => {
            let (wait, timeout_ms) = wait_of(&waiting);
            let lifetime = StandbyLifetime::Forever;
            let body = RequestBody::NodeStandby { node, on: false, lifetime, wait, timeout_ms };
            session.change(body, Some(&waiting))
        }
        Node::Drain { node, until_reboot, waiting } => {
            let standby = Node::Standby { node, until_reboot, waiting };
            run(standby, session)
        }
        Node::Maintenance { node, waiting } => maintenance(node, true, &waiting, session),
        Node::Ready { node, waiting } => maintenance(node, false, &waiting, session),
        Node::ConfirmDead { node, reason, yes, waiting } => {
            confirm_dead(node, reason, yes, &waiting, session)
        }
        Node::Restart { no_wait, timeout } => restart(&Waiting { no_wait, timeout }, session),
        Node::Attribute { node, action } => super::attribute::run(node, action, session),
        Node::Counters => {
            let reply = session.ask(RequestBody::Counters)?;
            let ReplyBody::Counters(counters) = &reply else { return Err(unexpected(&reply)) };
            session.output.result(&reply, |_| render::counters(counters))?;
            Ok(0)
        }
    }
}

fn maintenance(
    node: Option<String>,
    on: bool,
    waiting: &Waiting,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    let (wait, timeout_ms) = wait_of(waiting);
    session.change(RequestBody::NodeMaintenance { node, on, wait, timeout_ms }, Some(waiting))
}

/// Commits that a node is dead, after somebody at a terminal has said so twice.
fn confirm_dead(
    node: String,
    reason: String,
    yes: bool,
    waiting: &Waiting,
    session: &mut Session<'_, '_>,
) -> Result<u8, ApiError> {
    if !yes {
        if session.output.json() || !io::stdin().is_terminal() {
            let message =
                format!("whether {node} is dead for certain is not asked without a terminal");
            return Err(ApiError::new(Code::Usage, message)
                .remedy("make sure that it is off, then give --yes"));
        }
        let reply = session.ask(RequestBody::Status)?;
        let ReplyBody::Status(status) = &reply else { return Err(unexpected(&reply)) };
        session.output.note(&question(&node, status));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        if read.is_err() || answer.trim() != node {
            let message = format!("\"{}\" is not \"{node}\": nothing was changed", answer.trim());
            return Err(
                ApiError::new(Code::Usage, message).remedy("make sure that the node is off")
            );
        }
    }
    let (wait, timeout_ms) = wait_of(waiting);
    session.change(RequestBody::NodeConfirmDead { node, reason, wait, timeout_ms }, Some(waiting))
}

/// What somebody is asked who says that a node is dead.
fn question(node: &str, status: &Status) -> String {
    let mut waits = Vec::new();
    let mut rest: Vec<&ResourceStatus> = status.resources.iter().collect();
    while let Some(resource) = rest.pop() {
        rest.extend(&resource.children);
        if resource.active.iter().any(|active| active.node == node) {
            waits.push(resource.id.as_str());
        }
    }
    waits.sort_unstable();
    let waits = if waits.is_empty() { "nothing".to_owned() } else { waits.join(", ") };
    format!(
        "{node} may still run: {waits}\n\
         It starts elsewhere once you confirm, and runs twice if {node} is not off.\n\
         Is the power of {node} off for certain? Type its name to confirm:"
    )
}

/// Has the daemon replace itself under a long lease, and waits until its successor takes part.
fn restart(waiting: &Waiting, session: &mut Session<'_, '_>) -> Result<u8, ApiError> {
    let socket = session.daemon.control_socket(session.config)?;
    let start = Instant::now();
    let reply = Client::connect(&socket)?.call(RequestBody::PlanRestart)?;
    let ReplyBody::Restarting { boot, lease_left_ms } = reply else {
        return Err(unexpected(&reply));
    };
    if waiting.no_wait {
        session.output.result(&reply, |_| "the daemon is replaced now\n".to_owned())?;
        return Ok(0);
    }
    if let Some(left) = lease_left_ms {
        session.output.note(&format!("… its leases are good for {}", duration::age(left)));
    }
    while start.elapsed() < waiting.timeout {
        if let Some(hello) = successor(&socket, boot) {
            let elapsed_ms = duration::millis(start.elapsed());
            let text =
                format!("{} runs version {} as boot {}", hello.node, hello.version, hello.boot);
            let notice = Notice { text, elapsed_ms, pending: Vec::new() };
            session.output.result(&ReplyBody::Done(notice.clone()), |_| super::done(&notice))?;
            return Ok(0);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let waited = duration::age(duration::millis(waiting.timeout));
    Err(ApiError::new(
        Code::Timeout,
        format!(
            "the daemon was to replace itself, and no new one took part again over {} within {waited}",
            socket.display()
        ),
    )
    .remedy(
        "look at its log; if it has ended: haven node run --config FILE, or have its supervisor restart it \
         always (systemd: Restart=always)",
    ))
}

/// The daemon that came after `boot`, once it takes part again: it knows the coordinator.
fn successor(socket: &Path, boot: u64) -> Option<Hello> {
    let mut client = Client::connect(socket).ok()?;
    let ReplyBody::Hello(hello) = client.call(RequestBody::Hello).ok()? else { return None };
    let ReplyBody::Status(status) = client.call(RequestBody::Status).ok()? else { return None };
    let back = status.quorum.quorate && status.coordinator.is_some();
    (hello.boot > boot && back).then_some(hello)
}
