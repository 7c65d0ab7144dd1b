//! Requests that take nodes out of service and back.

use std::collections::BTreeMap;

use haven_api::{ApiError, Code, StandbyLifetime};

use crate::controller::Controller;
use crate::goals::Goal;
use crate::port::Clock;
use crate::request::ReplyTo;
use crate::waiting::Change;

impl Controller {
    /// Puts a node into standby, or takes it back from whichever kind of standby it is in.
    pub(crate) fn standby(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        node: String,
        (on, lifetime): (bool, StandbyLifetime),
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        let id = self.known_node(&node)?;
        let transient = self.transient(id).contains_key("standby");
        let until_reboot = lifetime == StandbyLifetime::Reboot;
        if (on && until_reboot) || (!on && transient) {
            if !self.heard(id) {
                let message =
                    format!("{node} is not heard: its life has ended, and standby with it");
                return Err(ApiError::new(Code::Unavailable, message)
                    .remedy(format!("haven node standby {node}, without --until-reboot")));
            }
            let value = ("value".to_owned(), "on".to_owned());
            let params = if on { BTreeMap::from([value]) } else { BTreeMap::new() };
            self.order_own(clock, id, "attribute", "standby".to_owned(), params);
        }
        let (what, goal) = match (on, until_reboot) {
            (true, true) => (format!("{node} is in standby until it restarts"), Goal::Empty(id)),
            (true, false) => (format!("{node} is in standby"), Goal::Empty(id)),
            (false, _) => (format!("{node} is online"), Goal::Settled),
        };
        let change = Change::action(what, wait, timeout_ms).towards(goal);
        if on && until_reboot {
            return self.await_settled(clock, to, change);
        }
        let value = if on { Some("on") } else { None };
        self.edit(clock, to, author, change, |cib| cib.set_node_attribute(&node, "standby", value))
    }

    /// Takes the hands off a node, or puts them on again.
    pub(crate) fn maintenance(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        node: String,
        on: bool,
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        self.known_node(&node)?;
        let what = if on {
            format!(
                "{node} is in maintenance: nothing on it is started, stopped or watched; `haven node \
                 ready {node}` ends that"
            )
        } else {
            format!("{node} is ready: what runs there is looked at anew and watched again")
        };
        let change = Change::action(what, wait, timeout_ms);
        let value = if on { Some("true") } else { None };
        self.edit(clock, to, author, change, |cib| {
            cib.set_node_attribute(&node, "maintenance", value)
        })
    }
}
