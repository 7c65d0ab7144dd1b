//! What the daemon's shell asks to be committed: members admitted, tokens minted, keys rotated; from any node.

use haven_base::WallTime;
use haven_messaging::KeyNotice;
use haven_types::NodeId;

use crate::command::{Command, JoinRefusal, Member, TokenRefusal};
use crate::controller::{Controller, Purpose};
use crate::message::PeerMessage;
use crate::port::{Clock, Output};

impl Controller {
    pub(crate) fn on_admit(&mut self, clock: Clock, request: u64, member: Member, token: [u8; 32]) {
        let without = self.leader.is_none().then_some(JoinRefusal::NoCoordinator);
        if let Some(reason) = self.refusal(clock, &member, &token).or(without) {
            self.out.push(Output::Admitted { request, result: Err(reason) });
            return;
        }
        let answer = (self.config.node, request);
        self.propose_anywhere(Command::AddMember { member, token, answer });
    }

    /// Why a newcomer is not even proposed: whoever has no token writes nothing to the log. A coordinator that has
    /// applied what came before its term knows every token that anybody was told of; until then, and on other nodes,
    /// none is unknown for good.
    fn refusal(&self, clock: Clock, new: &Member, token: &[u8; 32]) -> Option<JoinRefusal> {
        if self.state.tokens.get(token).is_some_and(|expires| *expires <= clock.wall) {
            return Some(JoinRefusal::ExpiredToken);
        }
        let decides = self.coordinator.as_ref().is_some_and(|coordinator| coordinator.ready);
        if !decides || self.halted {
            return None;
        }
        let reason = self.state.would_refuse(new, token)?;
        // Where no majority is heard, others may know a token by now, and a guess is counted.
        let (heard, needed) = self.log_majority();
        let cut_off = reason == JoinRefusal::UnknownToken && heard < needed;
        Some(if cut_off { JoinRefusal::NoCoordinator } else { reason })
    }

    pub(crate) fn on_mint_token(
        &mut self,
        clock: Clock,
        request: u64,
        token: [u8; 32],
        expires: WallTime,
    ) {
        if self.leader.is_none() {
            let result = Err(TokenRefusal::NoCoordinator);
            self.out.push(Output::TokenMinted { request, result });
            return;
        }
        self.make_room(clock);
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

    /// Has void tokens dropped where one more would find no room. On the coordinator only, ahead of the new token.
    fn make_room(&mut self, clock: Clock) {
        if self.coordinator.is_some() && self.state.wants_room(clock.wall) {
            self.propose(&Command::DropVoidTokens { now: clock.wall }, Purpose::Other);
        }
    }

    fn propose_anywhere(&mut self, command: Command) {
        match self.leader {
            Some(leader) if leader == self.config.node => self.propose(&command, Purpose::Other),
            Some(leader) => self.send(leader, &PeerMessage::Propose(Box::new(command))),
            None => {}
        }
    }

    /// A command made on another node. Only those that are made elsewhere are taken.
    pub(crate) fn on_proposed(&mut self, clock: Clock, from: NodeId, command: Command) {
        if let Command::AddMember { member, token, answer } = &command
            && let Some(reason) = self.refusal(clock, member, token)
        {
            self.send(from, &PeerMessage::NotAdmitted { request: answer.1, reason });
            return;
        }
        let foreign = matches!(
            command,
            Command::AddMember { .. } | Command::MintToken { .. } | Command::RotateKey { .. }
        );
        if foreign && self.coordinator.is_some() {
            if matches!(command, Command::MintToken { .. }) {
                self.make_room(clock);
            }
            self.propose(&command, Purpose::Other);
        }
    }
}
