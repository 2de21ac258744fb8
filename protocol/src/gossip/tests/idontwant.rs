//! IDONTWANT (v1.2).

use super::super::frame::Frame;
use super::super::testing::*;
use super::*;
use crate::machine::{Count, PeerRef};

fn large(number: u32, size: usize) -> Text {
    Text { size, ..message(number, 0) }
}

fn refuse(id: u32) -> Frame<Text> {
    Frame::Idontwant(id)
}

#[test]
fn a_large_message_is_refused_from_the_rest_of_the_mesh_at_once() {
    for (name, config) in profiles() {
        let min = config.idontwant_size_min;
        assert_eq!(min, if name == "rust" { 1000 } else { 1024 });
        for size in [min - 1, min] {
            let m = large(1, size);
            let mut lab = Lab::meshed(config.clone(), 3);
            let mut expected = vec![send(0, Frame::Message(m)), send(2, Frame::Message(m)), deliver(m)];
            if size == min && name != "filecoin" {
                expected.splice(..0, [send(0, refuse(1)), send(2, refuse(1))]);
            }
            assert_eq!(lab.frame(1, Frame::Message(m)), expected, "{name} {size}");
        }
    }
}

#[test]
fn before_v1_2_nothing_is_refused() {
    for version in [Version::V1_0, Version::V1_1] {
        let m = large(1, 5000);
        let mut lab = Lab::meshed(plain(version), 2);
        assert_eq!(lab.frame(1, Frame::Message(m)), [send(0, Frame::Message(m)), deliver(m)]);
    }
}

#[test]
fn refusals_go_out_before_the_message_is_judged_and_once() {
    let mut lab = Lab::meshed(plain(Version::V1_2), 3);
    let message = Frame::Message(large(1, 2000));
    let out = lab.run(|g, cx| assert!(g.on_frame(cx, PeerRef(1), message.clone()).is_some()));
    assert_eq!(out, [send(0, refuse(1)), send(2, refuse(1))]);
    assert_eq!(lab.frame(0, message), []);
}

#[test]
fn only_the_mesh_is_told() {
    let mut lab = Lab::with_peers(plain(Version::V1_2), 4);
    lab.frame(2, graft());
    let m = large(1, 2000);
    assert_eq!(lab.frame(3, Frame::Message(m)), [send(2, refuse(1)), send(2, Frame::Message(m)), deliver(m)]);
}

#[test]
fn what_a_peer_refuses_is_not_forwarded_to_it() {
    for (version, obeyed) in [(Version::V1_0, false), (Version::V1_1, false), (Version::V1_2, true)] {
        let mut lab = Lab::meshed(plain(version), 3);
        assert_eq!(lab.frame(1, refuse(7)), []);
        let m = message(7, 0);
        let mut expected = vec![send(2, Frame::Message(m)), deliver(m)];
        if !obeyed {
            expected.insert(0, send(1, Frame::Message(m)));
        }
        assert_eq!(lab.frame(0, Frame::Message(m)), expected, "{version:?}");
        assert_eq!(lab.count(Count::Suppressed), u64::from(obeyed));
        let other = message(8, 0);
        assert_eq!(lab.frame(0, Frame::Message(other)).len(), 3, "other messages are");
    }
}

#[test]
fn explicit_peers_may_refuse_as_well() {
    let mut lab = Lab::meshed(plain(Version::V1_2), 1);
    lab.connect_explicit(9);
    lab.frame(9, refuse(7));
    let m = message(7, 0);
    assert_eq!(lab.frame(0, Frame::Message(m)), [deliver(m)]);
}

#[test]
fn a_refusal_lapses_after_three_heartbeats() {
    for (beats, obeyed) in [(0, true), (2, true), (3, false)] {
        let mut lab = Lab::meshed(plain(Version::V1_2), 2);
        lab.frame(1, refuse(7));
        lab.beat(beats);
        let m = message(7, 0);
        let expected = if obeyed { vec![deliver(m)] } else { vec![send(1, Frame::Message(m)), deliver(m)] };
        assert_eq!(lab.frame(0, Frame::Message(m)), expected, "{beats}");
    }
}

#[test]
fn a_refusal_said_again_holds_anew() {
    let mut lab = Lab::meshed(plain(Version::V1_2), 2);
    lab.frame(1, refuse(7));
    lab.beat(2);
    lab.frame(1, refuse(7));
    lab.beat(2);
    let m = message(7, 0);
    assert_eq!(lab.frame(0, Frame::Message(m)), [deliver(m)]);
}

#[test]
fn so_many_refusals_are_taken_from_one_peer_per_heartbeat() {
    let mut lab = Lab::meshed(Config { idontwant_max: 2, ..plain(Version::V1_2) }, 2);
    for id in [1, 2, 3] {
        assert_eq!(lab.frame(1, refuse(id)), []);
    }
    assert_eq!(lab.count(Count::IdontwantCap), 1);
    for (id, suppressed) in [(1, 1), (2, 2), (3, 2)] {
        lab.frame(0, Frame::Message(message(id, 0)));
        assert_eq!(lab.count(Count::Suppressed), suppressed);
    }
    lab.beat(1);
    lab.frame(1, refuse(4));
    assert_eq!(lab.count(Count::IdontwantCap), 1);
    assert_eq!(lab.frame(0, Frame::Message(message(4, 0))), [deliver(message(4, 0))]);
}

#[test]
fn an_iwant_after_a_refusal_is_not_served() {
    let mut lab = Lab::with_peers(plain(Version::V1_2), 2);
    lab.publish(message(1, 0));
    lab.frame(0, refuse(1));
    assert_eq!(lab.frame(0, iwant(&[1])), []);
    assert_eq!(lab.frame(1, iwant(&[1])), [send(1, Frame::Message(message(1, 0)))]);
}

#[test]
fn a_refusal_is_nothing_to_be_punished_for() {
    let mut lab = Lab::meshed(scored(), 2);
    (0..2000).for_each(|id| drop(lab.frame(1, refuse(id))));
    // Nor is sending what was refused.
    let m = large(1, 2000);
    lab.frame(0, Frame::Message(m));
    lab.frame(1, Frame::Message(m));
    assert_eq!(lab.score(1), 0.0);
}
