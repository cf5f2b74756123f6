use std::collections::BTreeMap;

use interpreter::{assert_loadable, interpret};

use super::*;

pub(super) mod interpreter;

fn assert_even(lanes: &[u32]) {
    let program = program(lanes).expect("a program");
    assert_loadable(&program);
    let mut hits = BTreeMap::new();
    for random in 0..lanes.len() as u32 * 3 {
        *hits.entry(interpret(&program, random, &[])).or_insert(0) += 1;
    }
    let mut wanted = lanes.to_vec();
    wanted.sort_unstable();
    assert_eq!(hits.keys().copied().collect::<Vec<_>>(), wanted);
    assert!(hits.values().all(|&n| n == 3), "each lane gets its share: {hits:?}");
}

#[test]
fn every_lane_in_service_gets_the_same_share_and_no_other_gets_any() {
    for count in [1, 2, 3, 4, 7, 64, 255, 256, 257, 1000, 1362] {
        assert_even(&(0..count).collect::<Vec<_>>());
        assert_even(&(0..count).map(|i| i * 2 + 1).collect::<Vec<_>>());
        assert_even(&(0..count).map(|i| i + i / 3).collect::<Vec<_>>());
        assert_even(&(0..count).rev().map(|i| i + 5).collect::<Vec<_>>());
    }
}

#[test]
fn any_random_word_hits_a_lane_in_service() {
    let program = program(&[2, 3, 9]).expect("a program");
    for random in [0, 1, 2, 3, u32::MAX, u32::MAX - 1, u32::MAX - 2, 1 << 31] {
        assert!([2, 3, 9].contains(&interpret(&program, random, &[])));
    }
}

#[test]
fn neighbours_cost_three_instructions_in_all() {
    assert_eq!(program(&(0..1000).collect::<Vec<_>>()).expect("a program").len(), 4);
}

#[test]
fn nothing_to_name_and_too_much_to_name_give_no_program() {
    assert_eq!(program(&[]), None);
    let torn = |count: u32| (0..count).map(|i| i * 2).collect::<Vec<_>>();
    assert!(program(&torn(1362)).is_some());
    assert_eq!(program(&torn(1366)), None);
}

#[test]
fn one_source_port_goes_to_its_lane_and_the_others_as_ever() {
    let program = program_with(&[0, 1], &[(4711, 7), (4712, 1)]).expect("a program");
    assert_loadable(&program);
    let packet = |port: u16| {
        let mut packet = vec![0u8; 64];
        packet[0] = 0x45;
        packet[20..22].copy_from_slice(&port.to_be_bytes());
        packet
    };
    assert_eq!(interpret(&program, 0, &packet(4711)), 7);
    assert_eq!(interpret(&program, 0, &packet(4712)), 1);
    assert_eq!((0..2).map(|random| interpret(&program, random, &packet(80))).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(program_with(&[2], &[]), super::program(&[2]));
}

#[test]
fn a_lane_named_twice_counts_once() {
    assert_eq!(program(&[1, 1, 0]), program(&[0, 1]));
}

#[test]
fn a_source_port_is_seen_under_either_protocol_and_any_header_length() {
    let program = program_with(&[4], &[(40002, 6)]).expect("a program");
    assert_loadable(&program);
    for (port, wanted) in [(40002_u16, 6), (40003, 4), (0, 4)] {
        for words in 5..=15u8 {
            let mut packet = vec![0u8; 64];
            packet[0] = 0x40 | words;
            packet[usize::from(words) * 4..][..2].copy_from_slice(&port.to_be_bytes());
            assert_eq!(interpret(&program, 0, &packet), wanted, "IPv4, header of {words} words");
        }
        let mut packet = vec![0u8; 44];
        packet[0] = 0x60;
        packet[40..42].copy_from_slice(&port.to_be_bytes());
        assert_eq!(interpret(&program, 0, &packet), wanted, "IPv6");
    }
}
