//! What agents of others say of themselves, asked before a configuration is judged by it. They are programs: they run
//! beside the daemon, and whoever takes too long is not waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_controller::Local;
use haven_hub::Happening;
use haven_types::agent::AgentReport;

use super::{Asked, Daemon, Done};

/// So long a request waits for the agents it is judged by.
const PATIENCE: Duration = Duration::from_secs(3);
/// So many are asked at once.
const AT_ONCE: usize = 8;

impl Daemon {
    /// Hands a request on, after the agents have answered that it is judged by.
    pub(super) fn describe_first(&mut self, asked: Asked) {
        let named = self.controller().agents_of(&asked.body);
        let askable: Vec<_> =
            named.into_iter().filter_map(|name| Some((self.agents.get(&name)?, name))).collect();
        if askable.is_empty() {
            self.hand_on(asked);
            return;
        }
        let done = self.done.clone();
        tokio::spawn(async move {
            let until = tokio::time::Instant::now() + PATIENCE;
            let turns = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
            let mut answers = Vec::new();
            for (agent, name) in askable {
                let turns = turns.clone();
                let answer = agent.describe(&name);
                let task = tokio::spawn(async move {
                    let _turn = turns.acquire().await.ok()?;
                    answer.await
                });
                answers.push((name.to_string(), task));
            }
            let mut told = BTreeMap::new();
            for (name, mut task) in answers {
                match tokio::time::timeout_at(until, &mut task).await {
                    Ok(Ok(Some(report))) => drop(told.insert(name, report)),
                    Ok(Ok(None) | Err(_)) => {}
                    Err(_) => {
                        // It goes on to its own bound; its answer is there for the next request.
                        let reason = format!("it did not print its metadata within {PATIENCE:?}");
                        told.insert(name, AgentReport::Broken(reason));
                    }
                }
            }
            // Nobody listens only when the daemon ends.
            let _sent = done.send(Done::Described(asked, told));
        });
    }

    pub(super) fn on_described(&mut self, asked: Asked, told: BTreeMap<String, AgentReport>) {
        self.tell(Happening::Local(Local::Described(told)));
        self.hand_on(asked);
    }

    /// Has the controller answer. Its client may have gone meanwhile, which has been told already.
    pub(super) fn hand_on(&mut self, asked: Asked) {
        let Asked { id, author, body } = asked;
        self.tell(Happening::Local(Local::Request { id, author, body }));
        if !self.desk.knows(id) {
            self.tell(Happening::Local(Local::RequestGone(id)));
        }
    }
}
