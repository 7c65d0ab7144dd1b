use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::View;
use haven_types::BootId;

use super::*;

const MEMBERS: u16 = 30;
const LINKS: u8 = 2;
const BOOT: BootId = BootId(1);

fn heartbeat(output: Output) -> News {
    News::Told(Happening::Heartbeat(output))
}

fn packet(from: u16) -> News {
    let (from, link) = (NodeId(from), LinkId(0));
    News::Told(Happening::Packet { from, boot: BOOT, link, bytes: vec![0; 1_200] })
}

fn view(number: u64) -> News {
    heartbeat(Output::View(View { number, ..View::default() }))
}

fn suspect(node: u16) -> News {
    heartbeat(Output::Suspect { node: NodeId(node), boot: BOOT, silent: Duration::ZERO })
}

fn alive(node: u16) -> News {
    heartbeat(Output::Alive { node: NodeId(node), boot: BOOT })
}

fn dead(node: u16) -> News {
    heartbeat(Output::Dead { node: NodeId(node), boot: BOOT, successor: None })
}

fn lost(group: u32, cause: LossCause) -> News {
    heartbeat(Output::LeaseLost { group: GroupId(group), epoch: Epoch(1), cause })
}

fn gained(group: u32) -> News {
    let until = Instant::from_nanos(1);
    heartbeat(Output::LeaseGained { group: GroupId(group), epoch: Epoch(1), until })
}

/// One moment of a host that has no time for anything: all is missed, heard again, repeated.
fn storm(news: &mut Outbox, round: u64) {
    for node in 2..=MEMBERS {
        for _ in 0..8 {
            news.tell(packet(node));
        }
        news.tell(suspect(node));
        news.tell(dead(node));
        news.tell(alive(node));
        for (link, up) in (0..LINKS).flat_map(|link| [(link, false), (link, true)]) {
            let (peer, link) = (NodeId(node), LinkId(link));
            news.tell(heartbeat(Output::Link { peer, link, up }));
        }
    }
    news.tell(view(round));
    news.tell(lost(1, LossCause::Lapsed));
    news.tell(gained(1));
    news.tell(News::Line(format!("gate write {round} failed")));
    news.tell(News::Alarm("realtime scheduling is refused".to_owned()));
}

fn everything(news: &mut Outbox, receiver: &mut NewsReceiver) -> Vec<News> {
    let mut told = Vec::new();
    loop {
        while let Ok(item) = receiver.try_recv() {
            told.push(item);
        }
        if !news.waits() {
            return told;
        }
        news.flush();
    }
}

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

#[test]
fn a_starved_main_thread_costs_a_few_megabytes_however_long() {
    let (mut news, mut receiver) = channel();
    storm(&mut news, 0);
    let before = resident();
    // 240 packets and 200 words each: 800 MB, were all of it kept.
    for round in 1..=2_000 {
        storm(&mut news, round);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes, {} items", news.waiting.items.len());
    let members = usize::from(MEMBERS) - 1;
    let states = members * (3 + usize::from(LINKS)) + 4;
    assert!(news.waiting.items.len() <= members * PACKETS + states + LINES);
    let told = everything(&mut news, &mut receiver);
    let views: Vec<&News> = told
        .iter()
        .filter(|item| matches!(item, News::Told(Happening::Heartbeat(Output::View(_)))))
        .collect();
    assert_eq!(format!("{:?}", views.last()), format!("{:?}", Some(view(2_000))));
    news.tell_lost();
    let lines = everything(&mut news, &mut receiver);
    let [News::Line(line)] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.contains("packets were dropped"), "{line}");
    news.tell_lost();
    assert!(everything(&mut news, &mut receiver).is_empty(), "said once");
}

#[test]
fn of_a_state_the_newest_word_is_told_and_the_last_word_last() {
    let mut waiting = Waiting::default();
    let said = [
        view(1),
        alive(2),
        suspect(2),
        dead(2),
        alive(3),
        alive(2),
        suspect(3),
        alive(3),
        view(2),
        suspect(2),
    ];
    said.into_iter().for_each(|item| waiting.put(item));
    let told: Vec<String> =
        std::iter::from_fn(|| waiting.take()).map(|item| format!("{item:?}")).collect();
    // That node 2 was dead and came back is told; what it was before is not.
    let wanted = [dead(2), alive(2), suspect(3), alive(3), view(2), suspect(2)];
    assert_eq!(told, wanted.map(|item| format!("{item:?}")));
    assert!(waiting.places.is_empty());
}

#[test]
fn what_is_said_once_is_never_lost() {
    let (mut news, mut receiver) = channel();
    while !news.waits() {
        news.tell(packet(2));
    }
    let answers = |round: u32| {
        let (group, epoch) = (GroupId(1), Epoch(u64::from(round)));
        [
            heartbeat(Output::Released { group, epoch }),
            heartbeat(Output::TooManyClaims { group }),
            heartbeat(Output::RestartReady { until: None }),
            lost(round, LossCause::Superseded),
        ]
    };
    let mut wanted = Vec::new();
    for round in 0..100 {
        storm(&mut news, u64::from(round));
        for answer in answers(round) {
            wanted.push(format!("{answer:?}"));
            news.tell(answer);
        }
    }
    let told = everything(&mut news, &mut receiver).into_iter().map(|item| format!("{item:?}"));
    let told: Vec<String> = told.filter(|item| wanted.contains(item)).collect();
    assert_eq!(told, wanted);
}

#[test]
fn the_last_words_of_a_thread_are_told_once_there_is_room() {
    let (mut news, mut receiver) = channel();
    while !news.waits() {
        news.tell(packet(2));
    }
    let alarm = || News::Alarm("the heartbeat thread cannot wait".to_owned());
    news.tell(alarm());
    let ends = std::thread::spawn(|| news.say_the_rest());
    let told = std::iter::from_fn(|| receiver.blocking_recv()).last();
    assert_eq!(format!("{told:?}"), format!("{:?}", Some(alarm())));
    ends.join().unwrap();
    // Nor does it wait for somebody who does not listen any more.
    let (mut news, receiver) = channel();
    while !news.waits() {
        news.tell(packet(2));
    }
    drop(receiver);
    news.say_the_rest();
}

#[test]
fn a_lease_that_lapsed_and_came_back_is_told_as_both_in_that_order() {
    let mut waiting = Waiting::default();
    for _ in 0..1_000 {
        waiting.put(gained(1));
        waiting.put(lost(1, LossCause::Lapsed));
        waiting.put(lost(2, LossCause::Lapsed));
        waiting.put(lost(2, LossCause::Superseded));
    }
    waiting.put(gained(1));
    let told = std::iter::from_fn(|| waiting.take()).map(|item| format!("{item:?}"));
    let told: Vec<String> = told.collect();
    assert_eq!(told.len(), 1_003, "one thousand leases were superseded");
    let place = |item: News| told.iter().rposition(|told| *told == format!("{item:?}")).unwrap();
    assert!(place(lost(1, LossCause::Lapsed)) < place(gained(1)));
    assert!(place(lost(2, LossCause::Lapsed)) < place(lost(2, LossCause::Superseded)));
}

#[test]
fn a_packet_is_told_after_the_life_it_was_said_in() {
    let (mut news, mut receiver) = channel();
    while !news.waits() {
        news.tell(alive(2));
    }
    let life = || News::Told(Happening::Heard { from: NodeId(9), boot: BootId(4) });
    news.tell(life());
    // Room again: what comes now must not overtake what waits.
    for _ in 0..CHANNEL / 2 {
        receiver.try_recv().unwrap();
    }
    news.tell(packet(9));
    let told = everything(&mut news, &mut receiver);
    let place =
        |item: News| told.iter().position(|told| format!("{told:?}") == format!("{item:?}"));
    assert!(place(life()).unwrap() < place(packet(9)).unwrap());
}

#[test]
fn of_what_the_kernel_takes_the_newest_word_is_told() {
    let mut waiting = Waiting::default();
    waiting.put(News::Entries(Some("no memory".to_owned())));
    waiting.put(News::Entries(None));
    let told: Vec<News> = std::iter::from_fn(|| waiting.take()).collect();
    assert!(matches!(told[..], [News::Entries(None)]), "{told:?}");
}
