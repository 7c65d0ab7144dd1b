//! What the main task listens to, and what it comes to first.

use std::time::Duration;

use haven_host::socket::channel::ChannelEvent;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::Done;
use crate::beat::{News, NewsReceiver};
use crate::control::Asked;

/// Answers dealt with in one round at most.
const AT_ONCE: usize = 64;

/// The ends that others talk to.
pub(super) struct Inlets {
    pub(super) beats: NewsReceiver,
    pub(super) done: mpsc::UnboundedReceiver<Done>,
    pub(super) channel: mpsc::Receiver<ChannelEvent>,
    pub(super) requests: mpsc::Receiver<Asked>,
}

/// What ended the wait of the main task.
#[derive(Debug)]
pub(super) enum Woken {
    Done(Vec<Done>),
    Channel(ChannelEvent),
    Asked(Asked),
    Terminate,
    News(Option<News>),
    Due,
}

impl Inlets {
    /// Waits for one thing to happen, or for `pause` to be over.
    pub(super) async fn next(
        &mut self,
        pause: Duration,
        terminate: &mut Signal,
        interrupt: &mut Signal,
    ) -> Woken {
        let mut done = Vec::new();
        // News come last here, for they are taken in each round anyway: a thread that is hardly given any time would
        // find news waiting whenever it looks, and come to nothing else.
        tokio::select! {
            biased;
            _ = self.done.recv_many(&mut done, AT_ONCE) => Woken::Done(done),
            Some(event) = self.channel.recv() => Woken::Channel(event),
            Some(asked) = self.requests.recv() => Woken::Asked(asked),
            _ = terminate.recv() => Woken::Terminate,
            _ = interrupt.recv() => Woken::Terminate,
            news = self.beats.recv() => Woken::News(news),
            () = tokio::time::sleep(pause) => Woken::Due,
        }
    }

    /// The news that have arrived, and none that arrive meanwhile: a thread that is hardly given any time must come to
    /// its deadlines all the same.
    pub(super) fn arrived(&mut self) -> impl Iterator<Item = News> + '_ {
        (0..self.beats.len()).map_while(|_| self.beats.try_recv().ok())
    }
}

#[cfg(test)]
mod tests {
    use haven_api::RequestBody;
    use rustix::process::{Signal as Number, getpid, kill_process};
    use tokio::signal::unix::{SignalKind, signal};

    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    /// As a heartbeat thread does that has more to tell than is ever taken.
    fn fill(beats: &mpsc::Sender<News>) {
        while beats.try_send(News::Line("works again".to_owned())).is_ok() {}
    }

    #[tokio::test]
    async fn disk_peers_people_and_signals_are_come_to_although_news_keep_arriving() {
        let (beats, from_beats) = mpsc::channel(4);
        let (done, from_done) = mpsc::unbounded_channel();
        let (channel, from_channel) = mpsc::channel(1);
        let (requests, from_people) = mpsc::channel(1);
        let mut inlets = Inlets {
            beats: from_beats,
            done: from_done,
            channel: from_channel,
            requests: from_people,
        };
        // Stand for those that end the daemon.
        let mut terminate = signal(SignalKind::user_defined1()).unwrap();
        let mut interrupt = signal(SignalKind::user_defined2()).unwrap();
        fill(&beats);

        done.send(Done::Carried(Vec::new())).unwrap();
        let peer = "n2".to_owned();
        channel.send(ChannelEvent::Connected { peer }).await.unwrap();
        let (author, (replies, _)) = ("root".to_owned(), mpsc::channel(1));
        let asked = Asked { body: RequestBody::Status, author, number: 1, replies };
        requests.send(asked).await.unwrap();
        let woken = inlets.next(PAUSE, &mut terminate, &mut interrupt).await;
        assert!(matches!(woken, Woken::Done(_)), "{woken:?}");
        let woken = inlets.next(PAUSE, &mut terminate, &mut interrupt).await;
        assert!(matches!(woken, Woken::Channel(_)), "{woken:?}");
        let woken = inlets.next(PAUSE, &mut terminate, &mut interrupt).await;
        assert!(matches!(woken, Woken::Asked(_)), "{woken:?}");

        for raised in [Number::USR1, Number::USR2] {
            kill_process(getpid(), raised).unwrap();
            let told = async {
                while let Woken::News(_) = inlets.next(PAUSE, &mut terminate, &mut interrupt).await
                {
                    fill(&beats);
                    // The runtime hears of signals in between.
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), told).await.expect("it is come to");
        }
        let woken = inlets.next(PAUSE, &mut terminate, &mut interrupt).await;
        assert!(matches!(woken, Woken::News(Some(_))), "{woken:?}");
    }

    #[test]
    fn news_that_arrive_while_others_are_taken_wait_for_the_next_round() {
        let (beats, from_beats) = mpsc::channel(4);
        let mut inlets = Inlets {
            beats: from_beats,
            done: mpsc::unbounded_channel().1,
            channel: mpsc::channel(1).1,
            requests: mpsc::channel(1).1,
        };
        fill(&beats);
        let mut taken = 0;
        for _ in inlets.arrived().take(100) {
            taken += 1;
            fill(&beats);
        }
        assert_eq!(taken, 4);
    }
}
