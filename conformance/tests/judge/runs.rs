//! Whole runs against a small node in this process, right and wrong: verdicts, exit codes, reports.

use std::time::Duration;

use hyperspace_conformance::baseline::Baseline;
use hyperspace_conformance::events::{self, Event, ProfileStatus, Sink, Writer};
use hyperspace_conformance::report;
use hyperspace_conformance::suite::Plan;
use hyperspace_conformance::verdict::Verdict;

use crate::support::{Fault, InProcess, Run, case, quick, shipped};

const STATE: [&str; 2] = ["state", "transport"];

const EPISODE: &str = r#"title: An episode is recorded
profile: state
requires: HSP-4.1-18

@session S
>> rpc {"method": "state.recordEpisode", "params": {"sessionId": "$S", "outcome": "success", "reward": 0.85}}
<< rpc {"result": {"episodeId": "$nonempty"}}
"#;

const UNKNOWN: &str = r#"title: An unknown session is unknown
profile: state
requires: HSP-4.1-07
twin: state/known

>> rpc {"method": "state.getSession", "params": {"sessionId": "nobody"}}
<< rpc {"error": {"code": -32001}}
"#;

const KNOWN: &str = r#"title: A session is known
profile: state
requires: HSP-4.1-06

@session S
>> rpc {"method": "state.getSession", "params": {"sessionId": "$S"}}
<< rpc {"result": "$object"}
"#;

fn state() -> Vec<hyperspace_conformance::case::Case> {
    vec![case("state/episode", EPISODE), case("state/unknown", UNKNOWN), case("state/known", KNOWN)]
}

fn run(fault: Fault, plan: &Plan) -> Run {
    Run::of(&state(), plan, &mut InProcess::new(fault))
}

#[test]
fn a_right_node_is_conformant_for_what_it_serves() {
    let run = Run::of(&shipped(&STATE), &Plan::default(), &mut InProcess::new(Fault::None));
    for verdict in [Verdict::Fail, Verdict::Flaky, Verdict::Error] {
        assert_eq!(run.with(verdict), Vec::<String>::new());
    }
    assert_eq!(run.code(), 0, "{}", run.summary.message);
    assert!(run.checks().filter(|check| check.verdict == Verdict::Pass).count() > 100);
    let Event::Header(header) = &run.events[0] else { panic!("no header") };
    let status = |name: &str| {
        header.profiles.iter().find(|profile| profile.name == name).map(|profile| profile.status)
    };
    assert_eq!(status("state"), Some(ProfileStatus::Claimed));
    assert_eq!(status("guard"), Some(ProfileStatus::NotClaimed));
    let text = report::console(&run.events);
    assert!(text.contains("\nconformant: state, transport\n"), "{text}");
    assert!(text.contains("4.1 State Primitive"));
}

#[test]
fn the_same_run_twice_is_the_same_to_the_byte() {
    let text = || {
        let plan = Plan { seed: 7, ..Plan::default() };
        let run = Run::of(&shipped(&STATE), &plan, &mut InProcess::new(Fault::None));
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        run.events.iter().for_each(|event| writer.event(event));
        writer.finish().expect("written");
        String::from_utf8(bytes).expect("UTF-8")
    };
    let (one, two) = (text(), text());
    assert_eq!(one, two);
    let read = events::read(&one).expect("a whole stream");
    assert_eq!(read.len(), one.lines().count());
}

#[test]
fn a_mistake_fails_the_requirement_it_breaks() {
    let mistakes = [
        (Fault::ForgivesSessions, "HSP-4.1-07"),
        (Fault::WrongCode, "HSP-8-04"),
        (Fault::IdAsText, "HSP-2.2-05"),
        (Fault::NoVersion, "HSP-2.2-04"),
        (Fault::RefusesAll, "HSP-4.1-01"),
        (Fault::NoEpisodes, "HSP-3-05"),
        (Fault::Forgetful, "HSP-4.1-09"),
    ];
    for (fault, requirement) in mistakes {
        let run = Run::of(&shipped(&STATE), &Plan::default(), &mut InProcess::new(fault));
        assert_eq!(run.code(), 1, "{fault:?}");
        let failed = &run.summary.failed;
        assert!(failed.iter().any(|id| id == requirement), "{fault:?}: {failed:?}");
    }
}

#[test]
fn refusing_everything_passes_no_negative() {
    let run = run(Fault::RefusesAll, &Plan::default());
    // It answers the unknown session with an error, of the wrong code, and the twin fails in its setup.
    assert_eq!(run.with(Verdict::Pass).iter().filter(|id| id.contains("state/")).count(), 0);
    assert_eq!(run.code(), 1);
}

#[test]
fn a_negative_without_its_positive_shows_nothing() {
    let twin = KNOWN.replace("\"result\": \"$object\"", "\"result\": {\"status\": \"open\"}");
    let cases = [case("state/unknown", UNKNOWN), case("state/known", &twin)];
    // The twin is taken along although nobody asked for it.
    let plan = Plan { globs: vec!["state/unknown".into()], ..Plan::default() };
    let run = Run::of(&cases, &plan, &mut InProcess::new(Fault::None));
    let why = "its positive twin state/known did not pass, so refusing this shows nothing";
    assert_eq!(run.with(Verdict::Untestable), [format!("HSP-4.1-07@state/unknown#2: {why}")]);
    assert_eq!(run.with(Verdict::Fail), ["HSP-4.1-06@state/known#3: $.result.status \"open\" / absent"]);
}

#[test]
fn what_is_claimed_must_be_served() {
    let plan = Plan { profiles: vec!["guard".into()], ..Plan::default() };
    let one = run(Fault::None, &plan);
    assert_eq!(one.code(), 1);
    let failed = one.with(Verdict::Fail);
    assert!(failed[0].starts_with("HSP-3-05@profiles/guard#0"), "{failed:?}");
    assert!(report::console(&one.events).contains("FALSE-CLAIM: --profile guard was given"));
    let plan = Plan { profiles: vec!["state".into()], ..Plan::default() };
    assert_eq!(run(Fault::None, &plan).code(), 0);
}

#[test]
fn a_crash_fails_the_case_and_the_run_goes_on_if_it_can() {
    let mut target = InProcess::new(Fault::Dies);
    target.restartable = true;
    let one = Run::of(&state(), &Plan::default(), &mut target);
    assert_eq!(
        one.with(Verdict::Fail),
        ["HSP-4.1-18@state/episode#3: $ an answer / the connection ended: cut"]
    );
    assert_eq!(target.restarts, 1);
    assert!(one.with(Verdict::Pass).iter().any(|id| id.starts_with("HSP-4.1-07")));
    let text = report::console(&one.events);
    assert!(text.contains("expected a target that lives on, got 'fake' ended with signal 6"), "{text}");

    let two = run(Fault::Dies, &Plan::default());
    assert_eq!((two.code(), two.with(Verdict::Fail).len()), (1, 1));
    let untestable = two.with(Verdict::Untestable);
    assert_eq!(untestable.len(), 2);
    assert!(untestable[0].contains("the target is gone since state/episode"), "{untestable:?}");
}

#[test]
fn a_target_that_falls_silent_ends_the_run_soon() {
    // 45 questions are asked to see what is served.
    let mut target = InProcess::new(Fault::SilentAfter(46));
    let run = Run::of(&shipped(&STATE), &Plan::default(), &mut target);
    assert_eq!(run.code(), 1);
    // Time is virtual: this counts waits, not the speed of the machine.
    assert!(run.summary.elapsed_ms < 60_000, "{:?}", run.events.last());
    assert_eq!(run.with(Verdict::Fail).len(), 1, "{:?}", run.with(Verdict::Fail));
    let mut target = InProcess::new(Fault::SilentAfter(0));
    let run = Run::of(&shipped(&STATE), &Plan::default(), &mut target);
    assert_eq!(run.code(), 3);
    assert!(
        run.summary.message.contains("hyperlab.fence has no answer within 5 s"),
        "{}",
        run.summary.message
    );
    assert_eq!(run.events.len(), 2);
}

#[test]
fn a_run_has_a_limit_of_time() {
    // Nobody answers this, so that each case waits for three seconds; the hours that it lets pass do not count.
    let text =
        "@clock +2h\n>> json {\"jsonrpc\": \"2.0\", \"method\": \"nobody.knows\"}\n<< rpc within=3s {}";
    let text = format!("title: t\nprofile: state\nrequires: HSP-4.1-01\n{text}");
    let cases: Vec<_> = (0..5).map(|n| case(&format!("state/{n}"), &text)).collect();
    let plan = Plan { time: Duration::from_secs(8), ..Plan::default() };
    let run = Run::of(&cases, &plan, &mut InProcess::new(Fault::None));
    assert_eq!((run.with(Verdict::Fail).len(), run.with(Verdict::Untestable).len(), run.code()), (2, 3, 1));
    let why = &run.with(Verdict::Untestable)[2];
    assert!(why.contains("the 8 s for the whole run are over"), "{why}");
}

#[test]
fn a_baseline_takes_known_failures_and_fails_when_it_is_stale() {
    let known = |check: &str| {
        let text = format!("[[known]]\ncheck = \"{check}\"\nreason = \"we forgive\"\n");
        Plan { baseline: Baseline::parse(&text, "2026-01-01").expect("a baseline"), ..Plan::default() }
    };
    let one = run(Fault::ForgivesSessions, &known("HSP-4.1-07@state/unknown#2"));
    assert_eq!(one.code(), 0, "{}", one.summary.message);
    assert_eq!(one.with(Verdict::ExpectedFail).len(), 1);
    let two = run(Fault::None, &known("HSP-4.1-07@state/unknown#2"));
    assert_eq!((two.code(), two.with(Verdict::UnexpectedPass).len()), (4, 1));
    assert_eq!(two.summary.stale, ["HSP-4.1-07@state/unknown#2: passes now: take it out"]);
    let three = run(Fault::None, &known("HSP-4.1-07@state/gone"));
    assert_eq!(three.code(), 4);
    // An unexpected failure is worse than a stale entry.
    let four = run(Fault::ForgivesSessions, &known("HSP-4.1-18@state/episode"));
    assert_eq!(four.code(), 1);
}

#[test]
fn nothing_executed_is_not_success() {
    let plan = Plan { globs: vec!["nothing/*".into()], ..Plan::default() };
    let one = run(Fault::None, &plan);
    assert_eq!((one.code(), one.summary.message.as_str()), (6, "no case fits what was asked for"));
    let guard = EPISODE.replace("profile: state", "profile: guard");
    let two = Run::of(&[case("guard/x", &guard)], &Plan::default(), &mut InProcess::new(Fault::None));
    assert_eq!((two.code(), two.with(Verdict::NotApplicable).len()), (6, 1));
}

#[test]
fn strict_runs_take_no_warnings_and_nothing_untested() {
    let warned = EPISODE.replace(
        "{\"episodeId\": \"$nonempty\"}",
        "{\"episodeId\": {\"$should\": {\"$len\": {\"min\": 9}}}}",
    );
    let untested = EPISODE.replace("@session S", "@session S\n@control {\"do\": \"dance\"}");
    let strict = || Plan { strict: true, ..Plan::default() };
    for (text, plain) in [(warned, Verdict::Warn), (untested, Verdict::Untestable)] {
        let cases = [case("state/x", &text), case("state/known", KNOWN)];
        let run = Run::of(&cases, &Plan::default(), &mut InProcess::new(Fault::None));
        assert_eq!((run.code(), run.with(plain).len()), (0, 1), "{}", run.summary.message);
        let run = Run::of(&cases, &strict(), &mut InProcess::new(Fault::None));
        assert_eq!(run.code(), 7);
    }
    assert_eq!(run(Fault::None, &strict()).code(), 0);
}

#[test]
fn what_comes_out_differently_is_flaky() {
    let text = r#"title: t
profile: state
requires: HSP-4.1-09
@session S
>> rpc {"method": "state.setState", "params": {"sessionId": "$S", "key": "k", "value": 1}}
<< rpc setup {}
>> rpc {"method": "state.getState", "params": {"sessionId": "$S", "key": "k"}}
<< rpc {"result": {"value": 1}}"#;
    let plan = Plan { repeat: 4, ..Plan::default() };
    let run = Run::of(&[case("state/x", text)], &plan, &mut InProcess::new(Fault::Forgetful));
    let why = "HSP-4.1-09@state/x#5: $.result.value 1 / null";
    assert_eq!((run.code(), run.with(Verdict::Flaky)), (1, vec![why.to_owned()]));
    let flaky = run.checks().find(|check| check.verdict == Verdict::Flaky).expect("a check");
    assert_eq!(flaky.reason, "it came out differently: PASS, FAIL, PASS, FAIL");
    let rounds = run.events.iter().filter(|event| matches!(event, Event::Case(_))).count();
    assert_eq!(rounds, 4);
}

#[test]
fn a_setup_that_goes_wrong_everywhere_is_not_success() {
    let text = EPISODE.replace("@session S", "@session S\n>> rpc {\"method\": \"state.getSession\", \"params\": {\"sessionId\": \"$S\"}}\n<< rpc setup {\"result\": {\"status\": \"open\"}}");
    let cases = [case("state/x", &text), case("state/known", KNOWN)];
    let run = Run::of(&cases, &Plan::default(), &mut InProcess::new(Fault::None));
    assert_eq!((run.code(), run.with(Verdict::Fail).len()), (1, 0));
    assert!(run.summary.message.contains("cases could not be prepared: step 3"), "{}", run.summary.message);
}

#[test]
fn a_failure_is_shown_with_the_words_of_the_text_and_how_to_see_it_again() {
    let run = run(Fault::ForgivesSessions, &quick());
    let text = report::console(&run.events);
    let wanted = [
        "4.1 State Primitive\n",
        "  FAIL        HSP-4.1-07  ",
        "      -> \"",
        "      Expected  $.error  {\"code\":-32001}\n      Actual    absent\n",
        "      >> {\"jsonrpc\":\"2.0\",\"method\":\"state.getSession\",\"params\":{\"sessionId\":\"nobody\"},\"id\":1}\n",
        "      << {",
        "      state/unknown, step 2; again: hyperlab conform --case state/unknown\n",
        "1 FAIL",
        "not conformant: HSP-4.1-07",
    ];
    for part in wanted {
        assert!(text.contains(part), "no {part}\nin\n{text}");
    }
    assert!(text.contains("\nconformant: transport\n"), "{text}");
    let xml = report::junit(&run.events).expect("a report");
    assert!(
        xml.contains("<testcase name=\"HSP-4.1-07@state/unknown#2\" classname=\"state.state.unknown\">"),
        "{xml}"
    );
    assert!(xml.contains("failures=\"1\""));
}

#[test]
fn the_order_does_not_change_the_verdicts() {
    let verdicts = |seed| {
        let plan = Plan { seed, ..Plan::default() };
        let run = Run::of(&shipped(&STATE), &plan, &mut InProcess::new(Fault::ForgivesSessions));
        let mut all: Vec<_> = run.checks().map(|check| (check.id.clone(), check.verdict)).collect();
        all.sort();
        all
    };
    let first = verdicts(0);
    for seed in 1..4 {
        assert_eq!(verdicts(seed), first);
    }
}
