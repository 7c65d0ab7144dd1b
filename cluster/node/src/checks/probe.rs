//! Asking: one probe of one target. Whatever keeps it from an answer is a failure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use haven_host::process::{Call, Launcher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::{CheckConfig, CheckKind, HttpTarget};

/// Where scripts look for programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Kept of what a script prints.
const KEPT: usize = 1024;

/// Probes a target, for no longer than the check's timeout.
pub(crate) async fn ask(check: CheckConfig, target: usize, launcher: Option<Launcher>) -> bool {
    let limit = check.timeout;
    let asked = async {
        match &check.kind {
            CheckKind::Router => match haven_host::socket::default_router() {
                Some(router) => ping(router, &check).await,
                None => false,
            },
            CheckKind::Ping(targets) => match targets.get(target) {
                Some(target) => ping(*target, &check).await,
                None => false,
            },
            CheckKind::Disk { path, free_percent } => {
                let (path, least) = (path.clone(), *free_percent);
                let free =
                    tokio::task::spawn_blocking(move || haven_host::store::free_percent(&path));
                free.await.is_ok_and(|free| free.is_ok_and(|free| free >= least))
            }
            CheckKind::Dns(name) => {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                found.is_ok_and(|mut addresses| addresses.next().is_some())
            }
            CheckKind::Http(url) => get(url).await.unwrap_or(false),
            CheckKind::Script(path) => match launcher {
                Some(launcher) => script(&launcher, &check.name, path).await,
                None => false,
            },
        }
    };
    tokio::time::timeout(limit, asked).await.unwrap_or(false)
}

/// One echo, on a thread that may wait for it.
async fn ping(target: IpAddr, check: &CheckConfig) -> bool {
    let patience = check.timeout;
    let answered =
        tokio::task::spawn_blocking(move || haven_host::socket::echo(target, patience)).await;
    match answered {
        Ok(Ok(answered)) => answered,
        Ok(Err(error)) => {
            tracing::debug!(check = check.name, %target, %error, "no echo could be asked for");
            false
        }
        Err(_) => false,
    }
}

/// Whether a page is answered with a code below 400. The body is not read.
async fn get(url: &HttpTarget) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: haven\r\nConnection: close\r\n\r\n",
        url.path, url.host
    );
    stream.write_all(request.as_bytes()).await?;
    // `HTTP/1.1 200`
    let mut line = [0; 12];
    stream.read_exact(&mut line).await?;
    let code = line.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(&rest[2..]).ok());
    Ok(code
        .and_then(|code| code.parse::<u16>().ok())
        .is_some_and(|code| (100..400).contains(&code)))
}

async fn script(launcher: &Launcher, name: &str, path: &std::path::Path) -> bool {
    let call = Call {
        scope: format!("check {name}"),
        program: path.to_owned(),
        args: Vec::new(),
        environment: BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]),
        stdout_max: KEPT,
        stderr_max: KEPT,
        note_prefix: "check-note:",
    };
    launcher.call(call).await.is_ok_and(|ended| ended.code == Some(0))
}
