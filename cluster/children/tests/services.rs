//! Init scripts, and units of a manager that speaks systemd's D-Bus interface.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haven_children::{Bus, InitScripts, Services, SystemdUnits};
use haven_executor::Agent;
use haven_host::process::Launcher;
use haven_skipped::skip;
use haven_types::operation::{ExecutionStatus, OcfCode, Outcome};
use support::{Place, operation};
use zbus::OwnedObjectPath;
use zbus::object_server::{ResponseDispatchNotifier, SignalEmitter};

async fn ask(agent: &dyn Agent, name: &str, action: &str) -> Outcome {
    let work = agent.run(operation(name, action, &[]), None);
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap()
}

fn scripts(place: &Place) -> InitScripts {
    let launcher = Launcher::start(support::groups()).unwrap();
    InitScripts::new(launcher, place.path().to_owned(), BTreeMap::new())
}

#[tokio::test]
async fn an_init_script_s_codes_are_translated() {
    let place = Place::new();
    let state = place.path().join("state").display().to_string();
    place.script(
        "web",
        &format!(
            "case $1 in start) touch {state};; stop) rm -f {state};;
             status) [ -e {state} ] && exit 0; exit 3;; *) exit 99;; esac"
        ),
    );
    place.script("odd", "echo why >&2; exit 4");
    let scripts = scripts(&place);
    for (action, code) in
        [("monitor", 7), ("start", 0), ("monitor", 0), ("stop", 0), ("monitor", 7), ("promote", 3)]
    {
        assert_eq!(ask(&scripts, "lsb:web", action).await.code, OcfCode(code), "{action}");
    }
    let odd = ask(&scripts, "lsb:odd", "monitor").await;
    assert_eq!(odd, Outcome::done(OcfCode::ERROR, "why"));
    let missing = ask(&scripts, "lsb:missing", "monitor").await;
    assert_eq!(missing.status, ExecutionStatus::NotInstalled);
    assert_eq!(ask(&scripts, "lsb:../web", "start").await.code, OcfCode::BAD_CONFIGURATION);
}

/// What the manager of the test knows: units by name with their ActiveState, and what was asked of it.
#[derive(Debug, Default)]
struct Known {
    units: BTreeMap<String, String>,
    asked: Vec<String>,
}

type Shared = Arc<Mutex<Known>>;

struct Manager(Shared);

fn path(unit: &str) -> OwnedObjectPath {
    let plain = unit.replace(['.', '-'], "_");
    format!("/org/freedesktop/systemd1/unit/{plain}").as_str().try_into().unwrap()
}

/// A job as a method answers it, which says when that answer is on its way.
type Job = ResponseDispatchNotifier<OwnedObjectPath>;

impl Manager {
    /// Ends a job the way systemd does: the signal comes after the method's answer.
    fn end_job(
        &self,
        emitter: SignalEmitter<'static>,
        unit: &str,
        state: &str,
        result: &str,
    ) -> Job {
        let number = {
            let mut known = self.0.lock().unwrap();
            known.units.insert(unit.to_owned(), state.to_owned());
            u32::try_from(known.asked.len()).unwrap()
        };
        let (unit, result) = (unit.to_owned(), result.to_owned());
        let job: OwnedObjectPath = format!("/job/{number}").as_str().try_into().unwrap();
        let (answer, answered) = ResponseDispatchNotifier::new(job.clone());
        tokio::spawn(async move {
            answered.await;
            // Somebody else's job ends first.
            let other: OwnedObjectPath = "/job/9999".try_into().unwrap();
            Self::job_removed(&emitter, 9999, other, "x.service", "failed").await.unwrap();
            Self::job_removed(&emitter, number, job, &unit, &result).await.unwrap();
        });
        answer
    }
}

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    async fn load_unit(
        &self,
        unit: String,
        #[zbus(object_server)] server: &zbus::ObjectServer,
    ) -> OwnedObjectPath {
        let object = Unit { known: Arc::clone(&self.0), name: unit.clone() };
        server.at(path(&unit), object).await.unwrap();
        path(&unit)
    }

    fn subscribe(&self) {}

    fn reload(&self) {
        self.0.lock().unwrap().asked.push("reload".to_owned());
    }

    fn start_unit(
        &self,
        unit: String,
        mode: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Job {
        self.0.lock().unwrap().asked.push(format!("start {unit} {mode}"));
        let (state, result) =
            if unit == "bad.service" { ("failed", "failed") } else { ("active", "done") };
        self.end_job(emitter.to_owned(), &unit, state, result)
    }

    fn stop_unit(
        &self,
        unit: String,
        mode: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Job {
        self.0.lock().unwrap().asked.push(format!("stop {unit} {mode}"));
        self.end_job(emitter.to_owned(), &unit, "inactive", "done")
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

struct Unit {
    known: Shared,
    name: String,
}

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn load_state(&self) -> String {
        let there = self.known.lock().unwrap().units.contains_key(&self.name);
        if there { "loaded" } else { "not-found" }.to_owned()
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        let mut known = self.known.lock().unwrap();
        let state = known.units.get_mut(&self.name);
        match state {
            // On its way when asked for the first time.
            Some(state) if state.starts_with("activating") => {
                std::mem::replace(state, "active".to_owned())
            }
            Some(state) => state.clone(),
            None => "inactive".to_owned(),
        }
    }
}

/// A private bus with such a manager; ends with the test.
struct PrivateBus {
    daemon: Child,
    _manager: zbus::Connection,
    known: Shared,
    address: String,
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

async fn private_bus(place: &Place) -> Option<PrivateBus> {
    let listen = format!("unix:path={}", place.path().join("bus").display());
    let daemon = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--print-address", "--address", &listen])
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut daemon) = daemon else {
        skip("dbus-daemon is missing (apt-get install dbus-daemon)", "units of systemd");
        return None;
    };
    let mut address = String::new();
    std::io::BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address = address.trim().to_owned();
    let known = Shared::default();
    {
        let mut known = known.lock().unwrap();
        for (unit, state) in [("web", "inactive"), ("bad", "inactive"), ("slow", "activating")] {
            known.units.insert(format!("{unit}.service"), state.to_owned());
        }
        known.units.insert("broken.service".to_owned(), "failed".to_owned());
    }
    let manager = zbus::connection::Builder::address(address.as_str())
        .name("org.freedesktop.systemd1")
        .serve_at("/org/freedesktop/systemd1", Manager(Arc::clone(&known)))
        .build()
        .await
        .unwrap();
    Some(PrivateBus { daemon, _manager: manager, known, address })
}

#[tokio::test]
async fn a_unit_lives_under_an_override_and_jobs_are_waited_for() {
    let place = Place::new();
    let Some(bus) = private_bus(&place).await else { return };
    let runtime = place.path().join("system");
    let units = SystemdUnits::new(Bus::At(bus.address.clone()), runtime.clone());
    assert_eq!(ask(&units, "systemd:web", "monitor").await.code, OcfCode::NOT_RUNNING);
    assert_eq!(ask(&units, "systemd:web", "start").await, Outcome::done(OcfCode::OK, ""));
    let drop_in = runtime.join("web.service.d/50-haven.conf");
    let text = std::fs::read_to_string(&drop_in).unwrap();
    assert!(text.contains("Restart=no") && text.contains("Before=haven.service"), "{text}");
    assert_eq!(ask(&units, "systemd:web", "monitor").await.code, OcfCode::OK);
    assert_eq!(ask(&units, "systemd:web", "stop").await, Outcome::done(OcfCode::OK, ""));
    assert!(!drop_in.exists() && !drop_in.parent().unwrap().exists());
    assert_eq!(ask(&units, "systemd:web", "monitor").await.code, OcfCode::NOT_RUNNING);
    let asked = bus.known.lock().unwrap().asked.clone();
    let expected = ["reload", "start web.service replace", "stop web.service replace", "reload"];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn states_and_failures_of_units_are_told_apart() {
    let place = Place::new();
    let Some(bus) = private_bus(&place).await else { return };
    let units = SystemdUnits::new(Bus::At(bus.address.clone()), place.path().join("system"));
    let slow = ask(&units, "systemd:slow", "monitor").await;
    assert_eq!(slow.code, OcfCode::OK, "it was waited for: {slow:?}");
    let broken = ask(&units, "systemd:broken.service", "monitor").await;
    assert_eq!(broken.code, OcfCode::NOT_RUNNING);
    assert!(broken.reason.contains("broken.service is failed"), "{}", broken.reason);
    let bad = ask(&units, "systemd:bad", "start").await;
    assert_eq!(bad.code, OcfCode::ERROR);
    assert!(bad.reason.contains("ended with failed; systemctl status"), "{}", bad.reason);
    for action in ["monitor", "start"] {
        let none = ask(&units, "systemd:none", action).await;
        assert_eq!(
            (none.status, none.code),
            (ExecutionStatus::NotInstalled, OcfCode::NOT_INSTALLED)
        );
    }
    assert_eq!(ask(&units, "systemd:none", "stop").await.code, OcfCode::OK);
    assert_eq!(ask(&units, "systemd:web", "promote").await.code, OcfCode::UNIMPLEMENTED);
    assert_eq!(ask(&units, "systemd:a/b", "start").await.code, OcfCode::BAD_CONFIGURATION);
}

#[tokio::test]
async fn a_node_without_systemd_says_so_and_a_service_is_found_by_its_script() {
    let place = Place::new();
    place.script("web", "[ $1 = status ] && exit 3; exit 0");
    let nowhere = format!("unix:path={}", place.path().join("nobody").display());
    let units = SystemdUnits::new(Bus::At(nowhere), place.path().join("system"));
    let outcome = ask(&units, "systemd:web", "monitor").await;
    assert_eq!(outcome.code, OcfCode::NOT_INSTALLED);
    assert!(outcome.reason.contains("whose init is systemd"), "{}", outcome.reason);
    let services = Services::new(scripts(&place), units);
    assert_eq!(ask(&services, "service:web", "monitor").await.code, OcfCode::NOT_RUNNING);
    assert_eq!(ask(&services, "service:db", "monitor").await.code, OcfCode::NOT_INSTALLED);
}

#[tokio::test]
async fn the_manager_of_this_host_answers() {
    if !Path::new("/run/systemd/system").is_dir() {
        return skip("systemd does not run here", "the real manager");
    }
    let runtime = std::path::PathBuf::from("/run/systemd/system");
    let units = SystemdUnits::new(Bus::System, runtime);
    let outcome = ask(&units, "systemd:haven-no-such-unit", "monitor").await;
    assert_eq!(outcome.status, ExecutionStatus::NotInstalled, "{outcome:?}");
}
