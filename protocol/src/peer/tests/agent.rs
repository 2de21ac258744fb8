//! The primitives as a child: what calls they leave open from one input to the next.

use super::*;
use crate::primitive::{
    AgentInput, AgentOutput, Answer, Arrange, Call, CallId, Caller, ClientId, Code, Fetch, Source, Tier,
};

fn agent(lab: &mut Lab, input: AgentInput) -> Vec<AgentOutput> {
    let out = lab.feed(Input::Agent(Box::new(input)));
    out.into_iter()
        .filter_map(|output| if let Output::Agent(output) = output { Some(*output) } else { None })
        .collect()
}

fn check(lab: &mut Lab, number: u64) -> CallId {
    let caller = Caller { client: ClientId(1), tier: Tier::Operator, key: 0 };
    let params = Some(r#"{"content":"x"}"#.into());
    let call = Call { id: CallId(number), caller, method: "guard.checkSafety".into(), params };
    match &agent(lab, AgentInput::Call(call))[..] {
        [AgentOutput::Fetch(Fetch { id, from: Source::Classifier, .. })] => *id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reset_ends_the_calls_that_wait_and_no_others() {
    let mut lab = Lab::new();
    lab.config.primitives.guard.classifier = true;
    let first = check(&mut lab, 1);
    check(&mut lab, 2);
    check(&mut lab, 3);
    let answered = agent(&mut lab, AgentInput::Fetched(first, Ok(r#"{"flags":[]}"#.into())));
    assert!(matches!(&answered[..], [AgentOutput::Answer(Answer { id: CallId(1), result: Ok(_) })]));
    let answered = agent(&mut lab, AgentInput::Arrange(CallId(9), Arrange::Reset));
    let codes = answered.into_iter().map(|output| match output {
        AgentOutput::Answer(Answer { id, result }) => (id.0, result.err().map(|error| error.code)),
        AgentOutput::Execute(_) | AgentOutput::Fetch(_) => panic!("nothing is to be done"),
    });
    let internal = Some(Code::Internal);
    assert_eq!(codes.collect::<Vec<_>>(), [(2, internal), (3, internal), (9, None)]);
    let again = agent(&mut lab, AgentInput::Arrange(CallId(10), Arrange::Reset));
    assert_eq!(again.len(), 1, "nobody waits any more");
}
