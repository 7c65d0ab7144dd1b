use haven_base::{IfIndex, Neighbour, Rng};
use proptest::prelude::*;

use super::*;

const ALL: Announce = Announce { burst: true, confirm: true, refresh: true };

fn ms(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000)
}

fn announcer(wanted: Announce, burst: Burst) -> Announcer {
    Announcer::new(wanted, burst, Rng::new(1))
}

fn gateway() -> Target {
    Target { ip: "192.0.2.1".parse().unwrap(), mac: None }
}

/// Drive to `end`, answering FindTargets with `targets`; (time in ms, output) of all that came out.
fn run(
    machine: &mut Announcer,
    from: u64,
    first: Input,
    end: u64,
    targets: &[Target],
) -> Vec<(u64, Output)> {
    let mut log = Vec::new();
    let mut now = ms(from);
    let mut input = Some(first);
    loop {
        let at = now.as_nanos() / 1_000_000;
        let mut queue = vec![input.take().unwrap_or(Input::Tick)];
        while let Some(next) = queue.pop() {
            for output in machine.step(now, next) {
                if output == Output::FindTargets {
                    queue.push(Input::Targets(targets.to_vec()));
                }
                log.push((at, output));
            }
        }
        match machine.deadline() {
            Some(next) if next <= ms(end) => now = next,
            _ => return log,
        }
    }
}

fn announcements(log: &[(u64, Output)]) -> Vec<u64> {
    log.iter().filter(|(_, o)| *o == Output::Announce).map(|(at, _)| *at).collect()
}

#[test]
fn the_default_burst_follows_its_schedule() {
    let mut machine = announcer(ALL, Burst::Schedule);
    let log = run(&mut machine, 1000, Input::Begin, 20_000, &[]);
    assert_eq!(announcements(&log), [1000, 1050, 1200, 1600, 2200, 3500, 6000]);
    assert_eq!(log[0], (1000, Output::Announce), "nothing comes before the first frame");
    assert!(log.contains(&(6000, Output::BurstEnded)));
}

#[test]
fn an_even_burst_comes_twice() {
    let burst = Burst::Even { interval: Duration::from_millis(200), count: 3 };
    let mut machine = announcer(ALL, burst);
    let log = run(&mut machine, 0, Input::Begin, 20_000, &[]);
    assert_eq!(announcements(&log), [0, 200, 400, 5400, 5600, 5800]);
    assert!(log.contains(&(400, Output::BurstEnded)));
}

#[test]
fn refresh_is_a_minute_give_or_take_a_tenth() {
    let mut machine = announcer(ALL, Burst::Schedule);
    let log = run(&mut machine, 0, Input::Begin, 3_600_000, &[]);
    let times = announcements(&log);
    let gaps: Vec<u64> = times[6..].windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps.len() >= 54, "{}", gaps.len());
    assert!(gaps.iter().all(|gap| (53_999..=66_000).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().min() != gaps.iter().max(), "jitter keeps many addresses apart");
}

#[test]
fn without_refresh_it_falls_silent() {
    let wanted = Announce { refresh: false, ..ALL };
    let mut machine = announcer(wanted, Burst::Schedule);
    run(&mut machine, 0, Input::Begin, 10_000, &[]);
    assert_eq!(machine.deadline(), None);
}

#[test]
fn without_burst_nothing_is_announced_at_start() {
    let wanted = Announce { burst: false, confirm: false, refresh: true };
    let mut machine = announcer(wanted, Burst::Schedule);
    let log = run(&mut machine, 0, Input::Begin, 10_000, &[]);
    assert_eq!(log, [(0, Output::BurstEnded)]);
    assert!(machine.deadline().is_some());
}

#[test]
fn an_answer_verifies_and_ends_the_asking() {
    let mut machine = announcer(ALL, Burst::Schedule);
    run(&mut machine, 0, Input::Begin, 0, &[gateway()]);
    assert_eq!(machine.confirmation(), Confirmation::Waiting);
    let stranger = machine.step(ms(2), Input::Answer("192.0.2.99".parse().unwrap()));
    assert_eq!(stranger, [], "only those asked count");
    let out = machine.step(ms(3), Input::Answer(gateway().ip));
    let took = Duration::from_millis(3);
    assert_eq!(out, [Output::Verified { by: gateway().ip, took }]);
    assert_eq!(machine.confirmation(), Confirmation::Verified);
    let log = run(&mut machine, 3, Input::Tick, 50_000, &[gateway()]);
    assert!(!log.iter().any(|(_, o)| matches!(o, Output::Ask(_))), "{log:?}");
    assert_eq!(announcements(&log).len(), 6, "the burst goes on");
}

#[test]
fn no_answer_repeats_the_burst_with_growing_pauses_and_tells_once() {
    let mut machine = announcer(ALL, Burst::Schedule);
    let log = run(&mut machine, 0, Input::Begin, 600_000, &[gateway()]);
    let asks: Vec<u64> =
        log.iter().filter(|(_, o)| matches!(o, Output::Ask(_))).map(|(at, _)| *at).collect();
    assert_eq!(&asks[..3], [0, 300, 1000]);
    let rounds: Vec<u64> = asks.iter().step_by(3).copied().collect();
    let gaps: Vec<u64> = rounds.windows(2).map(|w| w[1] - w[0] - 1500).collect();
    assert_eq!(&gaps[..7], [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
    assert!(gaps[7..].iter().all(|gap| *gap == 60_000));
    let told: Vec<&(u64, Output)> =
        log.iter().filter(|(_, o)| matches!(o, Output::Unverified { .. })).collect();
    assert_eq!(told, [&(1500, Output::Unverified { asked: vec![gateway().ip] })]);
    assert_eq!(machine.confirmation(), Confirmation::Unverified);
    // The end of a fault is noticed in the next round.
    let at = machine.deadline().unwrap();
    run(&mut machine, at.as_nanos() / 1_000_000, Input::Tick, 0, &[gateway()]);
    let out = machine.step(at + Duration::from_millis(1), Input::Answer(gateway().ip));
    assert!(matches!(out[0], Output::Verified { .. }), "{out:?}");
}

#[test]
fn four_lost_announcements_are_confirmed_within_three_seconds() {
    // Frames of the first 1.1 s are lost, questions too: the second round at 2.5 s gets its answer.
    let mut machine = announcer(ALL, Burst::Schedule);
    let log = run(&mut machine, 0, Input::Begin, 3_000, &[gateway()]);
    let heard = log.iter().find(|(at, o)| *at > 1_100 && matches!(o, Output::Ask(_)));
    assert!(heard.is_some_and(|(at, _)| *at < 3_000), "{log:?}");
}

#[test]
fn nobody_to_ask_is_not_a_failure() {
    let mut machine = announcer(ALL, Burst::Schedule);
    let log = run(&mut machine, 0, Input::Begin, 30_000, &[]);
    assert!(!log.iter().any(|(_, o)| matches!(o, Output::Unverified { .. })));
    assert_eq!(machine.confirmation(), Confirmation::NotAsked);
}

#[test]
fn again_bursts_anew_but_only_after_begin() {
    let mut machine = announcer(ALL, Burst::Schedule);
    assert_eq!(machine.step(ms(0), Input::Again), []);
    run(&mut machine, 0, Input::Begin, 8_000, &[gateway()]);
    machine.step(ms(8_000), Input::Answer(gateway().ip));
    let log = run(&mut machine, 10_000, Input::Again, 16_000, &[gateway()]);
    assert_eq!(announcements(&log)[..7], [10_000, 10_050, 10_200, 10_600, 11_200, 12_500, 12_500]);
    assert!(log.iter().any(|(_, o)| matches!(o, Output::Ask(_))));
}

#[test]
fn a_refresh_on_monitor_sends_so_many() {
    let mut machine = announcer(Announce { refresh: false, ..ALL }, Burst::Schedule);
    assert_eq!(machine.step(ms(0), Input::Refresh(3)), [], "nothing is up");
    run(&mut machine, 0, Input::Begin, 8_000, &[]);
    let log = run(&mut machine, 10_000, Input::Refresh(3), 20_000, &[]);
    assert_eq!(announcements(&log), [10_000, 10_200, 10_400]);
}

#[test]
fn a_long_sleep_does_not_end_in_a_volley() {
    let mut machine = announcer(ALL, Burst::Schedule);
    machine.step(ms(0), Input::Begin);
    let out = machine.step(ms(4_000), Input::Tick);
    assert_eq!(out, [Output::Announce]);
    assert_eq!(machine.step(ms(4_001), Input::Tick), [], "a spare tick is harmless");
}

#[test]
fn targets_are_gateways_then_recent_neighbours_of_the_family() {
    let neighbour = |ip: &str, recent: bool, router: bool| Neighbour {
        index: IfIndex::new(2).unwrap(),
        ip: ip.parse().unwrap(),
        mac: Some(MacAddr([2, 0, 0, 0, 0, 9])),
        recent,
        router,
    };
    let mut neighbours: Vec<Neighbour> =
        (10..30).map(|n| neighbour(&format!("192.0.2.{n}"), true, false)).collect();
    neighbours.push(neighbour("192.0.2.200", true, true));
    neighbours.push(neighbour("192.0.2.5", false, false));
    neighbours.push(neighbour("2001:db8::1", true, false));
    let vip: IpAddr = "192.0.2.100".parse().unwrap();
    let ours = |ip: IpAddr| ip == "192.0.2.11".parse::<IpAddr>().unwrap();
    let gateways = ["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()];
    let found = targets(vip, &[], &gateways, &neighbours, &ours);
    let ips: Vec<String> = found.iter().map(|t| t.ip.to_string()).collect();
    assert_eq!(ips[..3], ["192.0.2.1", "192.0.2.200", "192.0.2.10"], "gateway, router, lowest");
    assert_eq!(ips.len(), 1 + 8 - 1, "eight neighbours, one of them ourselves");
    assert!(found[0].mac.is_none() && found[1].mac.is_some());
    let configured = ["192.0.2.7".parse().unwrap()];
    let found = targets(vip, &configured, &gateways, &neighbours, &ours);
    assert_eq!(found, [Target { ip: configured[0], mac: None }]);
}

proptest! {
    /// After any inputs at any times: the deadline lies ahead, and no step yields more than one
    /// announcement beside a refresh.
    #[test]
    fn never_spins_and_never_floods(
        events in proptest::collection::vec((0u64..70_000, 0u8..5), 1..60), seed in any::<u64>(),
    ) {
        let mut machine = Announcer::new(ALL, Burst::Schedule, Rng::new(seed));
        let mut now = ms(0);
        for (wait, kind) in events {
            now += Duration::from_millis(wait);
            let input = match kind {
                0 => Input::Begin,
                1 => Input::Again,
                2 => Input::Targets(vec![gateway()]),
                3 => Input::Answer(gateway().ip),
                _ => Input::Tick,
            };
            let out = machine.step(now, input);
            prop_assert!(out.iter().filter(|o| **o == Output::Announce).count() <= 2);
            prop_assert!(machine.deadline().is_none_or(|at| at > now));
        }
    }
}
