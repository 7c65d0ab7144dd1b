//! Seeded damage: whatever the text, reading ends with a configuration or with findings that have a
//! place, never with a panic; and what was read is shown such that it reads the same.

use haven_base::Rng;

use super::round_trip::EVERYTHING;
use crate::Cib;
use crate::crm::{Facts, Mode, load, show, verify};

const PIECES: [&str; 24] = [
    " ",
    "\n",
    "\\\n",
    "\"",
    "'",
    "=",
    ":",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "#",
    "rule ",
    "and ",
    "or ",
    "op ",
    "meta ",
    "inf: ",
    "\u{1F600}",
    "\\",
    "$id=x ",
    "xml '<a/>' ",
];

fn pick(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(u64::try_from(bound).unwrap())).unwrap()
}

fn mutate(text: &str, rng: &mut Rng) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=rng.below(8) {
        let length = characters.len();
        if length == 0 {
            break;
        }
        let at = pick(rng, length);
        let end = (at + pick(rng, 12)).min(length);
        match rng.below(5) {
            0 => drop(characters.drain(at..end)),
            1 => {
                let piece = PIECES[pick(rng, PIECES.len())];
                characters.splice(at..at, piece.chars());
            }
            2 => {
                let copy: Vec<char> = characters[at..end].to_vec();
                let to = pick(rng, length);
                characters.splice(to..to, copy);
            }
            3 => characters.truncate(at),
            _ => characters.swap(at, end.min(length - 1)),
        }
    }
    characters.into_iter().collect()
}

#[test]
fn damaged_text_never_panics_and_what_is_read_is_shown_faithfully() {
    let mut rng = Rng::new(0x4856_4352);
    let lines: Vec<&str> = EVERYTHING.split_inclusive('\n').collect();
    let (mut taken, mut refused) = (0_u32, 0_u32);
    for round in 0..6_000 {
        // A few declarations damaged are taken more often than the whole text.
        let text = if round % 3 == 0 {
            mutate(EVERYTHING, &mut rng)
        } else {
            let at = pick(&mut rng, lines.len());
            mutate(&lines[at..(at + 3).min(lines.len())].concat(), &mut rng)
        };
        match load(&Cib::default(), &text, Mode::Update) {
            Ok(loaded) => {
                taken += 1;
                drop(verify(&loaded.cib, &Facts::default()));
                let shown = show(&loaded.cib);
                let again = load(&Cib::default(), &shown, Mode::Replace);
                let again = again.unwrap_or_else(|findings| {
                    panic!("{text}\nis shown as\n{shown}\nwhich is refused: {findings:#?}")
                });
                assert_eq!(show(&again.cib), shown, "from {text}");
            }
            Err(findings) => {
                refused += 1;
                assert!(!findings.is_empty());
                for finding in findings {
                    assert!(
                        finding.line.is_some() && finding.remedy.is_some(),
                        "{finding}: {text}"
                    );
                }
            }
        }
    }
    assert!(taken > 200 && refused > 200, "{taken} taken, {refused} refused: bad mutations");
}
