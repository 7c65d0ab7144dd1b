//! What agents say of themselves: asked once for each state of their file, and bounded whatever they do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use haven_children::{OcfAgents, OcfSettings};
use haven_executor::Agent as _;
use haven_host::process::Launcher;
use haven_types::agent::AgentReport;
use support::{Place, name};

const GOOD: &str = r#"echo '<resource-agent name="good"><parameters><parameter name="port" required="1"/></parameters>
<actions><action name="start" timeout="60s"/><action name="stop"/></actions></resource-agent>'"#;

fn agents(place: &Place) -> OcfAgents {
    let root = place.path().to_owned();
    let settings = OcfSettings { root, environment: BTreeMap::new() };
    OcfAgents::new(Launcher::start(None).unwrap(), settings)
}

#[tokio::test]
async fn an_agent_is_asked_once_until_its_file_changes() {
    let place = Place::new();
    let asked = place.path().join("asked");
    let counting = |body: &str| format!("echo x >>{}\n{body}", asked.display());
    place.script("resource.d/x/good", &counting(GOOD));
    let agents = agents(&place);
    let told = |report: Option<AgentReport>| match report {
        Some(AgentReport::Described(told)) => told,
        other => panic!("{other:?}"),
    };
    let times = || std::fs::read_to_string(&asked).unwrap().lines().count();
    for _ in 0..3 {
        let said = told(agents.describe(&name("ocf:x:good")).await);
        assert!(said.params["port"].required && said.flaw.is_none());
        assert_eq!(said.timeouts, BTreeMap::from([("start".to_owned(), "60s".to_owned())]));
        assert_eq!(times(), 1);
    }
    place.script("resource.d/x/good", &counting(&GOOD.replace("port", "listen")));
    let file =
        std::fs::File::options().write(true).open(place.path().join("resource.d/x/good")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    drop(file);
    let said = told(agents.describe(&name("ocf:x:good")).await);
    assert_eq!((said.params.contains_key("listen"), times()), (true, 2));
}

#[tokio::test]
async fn absent_failing_damaged_and_hanging_agents_are_told_apart_in_bounded_time() {
    let place = Place::new();
    place.script("resource.d/x/fails", "echo no >&2; exit 1");
    place.script("resource.d/x/prints", "echo hello");
    place.script("resource.d/x/cut", "echo '<resource-agent><parameters><parameter name=\"a\"/>'");
    place.script("resource.d/x/hangs", "sleep 600");
    let agents = agents(&place);
    let ask = |agent: &str| agents.describe(&name(agent));
    assert_eq!(ask("ocf:x:none").await, Some(AgentReport::Absent));
    for agent in ["ocf:x:fails", "ocf:x:prints"] {
        assert!(
            matches!(ask(agent).await, Some(AgentReport::Broken(why)) if why.contains(agent)),
            "{agent}"
        );
    }
    let Some(AgentReport::Described(cut)) = ask("ocf:x:cut").await else { panic!() };
    assert!(cut.params.contains_key("a") && cut.flaw.unwrap().contains("ends inside"));
    let begin = Instant::now();
    assert!(
        matches!(ask("ocf:x:hangs").await, Some(AgentReport::Broken(why)) if why.contains("within 5 s"))
    );
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}
