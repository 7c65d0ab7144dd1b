//! What the daemon's shell asks to be committed: members admitted, tokens minted, keys rotated; from any node.

use haven_base::WallTime;
use haven_messaging::KeyNotice;

use crate::command::{Command, JoinRefusal, Member};
use crate::controller::{Controller, Purpose};
use crate::message::PeerMessage;
use crate::port::{Clock, Output};

impl Controller {
    pub(crate) fn on_admit(&mut self, clock: Clock, request: u64, member: Member, token: [u8; 32]) {
        let expired = self.state.tokens.get(&token).is_some_and(|expires| *expires <= clock.wall);
        let refusal = match (expired, self.leader) {
            (true, _) => Some(JoinRefusal::ExpiredToken),
            (false, None) => Some(JoinRefusal::NoCoordinator),
            (false, Some(_)) => None,
        };
        if let Some(reason) = refusal {
            self.out.push(Output::Admitted { request, result: Err(reason) });
            return;
        }
        let answer = (self.config.node, request);
        self.propose_anywhere(Command::AddMember { member, token, answer });
    }

    pub(crate) fn on_mint_token(&mut self, request: u64, token: [u8; 32], expires: WallTime) {
        if self.leader.is_none() {
            let reason = "no coordinator is known here: nothing can be committed".to_owned();
            self.out.push(Output::TokenMinted { request, result: Err(reason) });
            return;
        }
        let answer = (self.config.node, request);
        self.propose_anywhere(Command::MintToken { token, expires, answer });
    }

    pub(crate) fn on_rotate_key(&mut self, request: u64, notice: KeyNotice) {
        if self.leader.is_none() {
            let reason = "no coordinator is known here: nothing can be committed".to_owned();
            self.out.push(Output::KeyAnnounced { request, result: Err(reason) });
            return;
        }
        let answer = (self.config.node, request);
        self.propose_anywhere(Command::RotateKey { notice, answer });
    }

    fn propose_anywhere(&mut self, command: Command) {
        match self.leader {
            Some(leader) if leader == self.config.node => self.propose(&command, Purpose::Other),
            Some(leader) => self.send(leader, &PeerMessage::Propose(Box::new(command))),
            None => {}
        }
    }

    /// A command made on another node. Only those that are made elsewhere are taken.
    pub(crate) fn on_proposed(&mut self, command: Command) {
        let foreign = matches!(
            command,
            Command::AddMember { .. } | Command::MintToken { .. } | Command::RotateKey { .. }
        );
        if foreign && self.coordinator.is_some() {
            self.propose(&command, Purpose::Other);
        }
    }
}
