//! Results that do not look as the text says, made from the table of methods: each member dropped, renamed, of another
//! type, out of its range or none of its values; methods that are not there, never answer, or are right only at first.

use hyperspace_conformance::json::Json;
use hyperspace_conformance::registry::{Field, Kind, Method, methods};

use super::Mutant;
use crate::edit::{Change, double};
use crate::rule::{Act, Rule, When, on};

/// Requirements about members that have one besides that of the whole result.
const ALSO: [(&str, &str, &str); 16] = [
    ("recursive.analyze", "pattern", "HSP-4.5-04"),
    ("recursive.analyze", "depth", "HSP-4.5-05"),
    ("learning.getStats", "totalBullets", "HSP-5.1-14"),
    ("improving.getLibraryStats", "total", "HSP-5.2-18"),
    ("learning.reflect", "newBullets/", "HSP-5.1-09"),
    ("learning.reflect", "newBullets", "HSP-5.1-09 HSP-5.1-11"),
    ("learning.reflect", "prunedBullets", "HSP-5.1-09 HSP-5.1-11"),
    ("learning.reflect", "playbookVersion", "HSP-5.1-11"),
    ("improving.getExemplars", "exemplars/", "HSP-5.2-10"),
    ("improving.recordTrajectory", "state", "HSP-5.2-02"),
    ("improving.recordTrajectory", "gossipedTo", "HSP-5.2-04"),
    ("improving.assessDifficulty", "difficulty", "HSP-5.2-17"),
    ("improving.augment", "newState", "HSP-5.2-16"),
    ("state.createSession", "sessionId", "HSP-4.1-02"),
    ("state.createSession", "createdAt", "HSP-4.1-03"),
    ("memory.search", "memories", "HSP-4.4-09"),
];

fn violates(method: &Method, path: &str) -> String {
    let also = ALSO
        .iter()
        .filter(|(name, place, _)| {
            *name == method.name && (*place == path || place.ends_with('/') && path.starts_with(place))
        })
        .map(|(.., ids)| *ids);
    std::iter::once(method.shape.as_str()).chain(also).collect::<Vec<_>>().join(" ")
}

/// Mutants of one member; `path` leads to it.
fn of_member(method: &Method, field: &Field, path: &str, out: &mut Vec<Mutant>) {
    let shown = path.replace("/*", "");
    let mut add = |kind: &str, says: String, change: Change| {
        let rule = on(&method.name).result(path, change);
        let id = format!("{}/{}.{}.{kind}", method.primitive.name(), method.name, shown.replace('/', "."));
        out.push(Mutant::new(id, says, &violates(method, path), vec![rule]));
    };
    if field.required {
        add("drop", format!("{} answers without {shown}", method.name), Change::Drop);
        let other = format!("{}_", field.name);
        add("rename", format!("{} calls {shown} {other}", method.name), Change::Rename(other));
    }
    // What is in an example alone is not demanded, unless another requirement is about it.
    let demanded = !field.extra || violates(method, path) != method.shape;
    if field.kind != Kind::Json && demanded {
        add("retype", format!("{} answers {shown} with another type", method.name), Change::Retype);
    }
    if !field.values.is_empty() {
        let none = Change::Set(Json::string("NONE-OF-THEM"));
        add(
            "enum",
            format!("{} answers {shown} with a value that the text does not list", method.name),
            none,
        );
    }
    if let Some(min) = field.min {
        add("below", format!("{} answers {shown} below {min}", method.name), Change::Set(double(min - 1.0)));
    }
    if let Some(max) = field.max {
        add("above", format!("{} answers {shown} above {max}", method.name), Change::Set(double(max + 1.0)));
    }
    for inner in &field.items {
        of_member(method, inner, &format!("{path}/*/{}", inner.name), out);
    }
}

/// Mutants of the whole method.
fn of_method(method: &Method, out: &mut Vec<Mutant>) {
    let (primitive, name, shape) = (method.primitive.name(), &method.name, &method.shape);
    let mut add = |kind: &str, says: String, violates: String, rule: Rule| {
        out.push(Mutant::new(format!("{primitive}/{name}.{kind}"), says, &violates, vec![rule]));
    };
    add(
        "absent",
        format!("{name} is not there though its primitive is"),
        format!("{shape} HSP-3-05"),
        on(name).refuse(-32601),
    );
    add(
        "text",
        format!("{name} answers a text"),
        shape.clone(),
        on(name).result("", Change::Set(Json::string("done"))),
    );
    add("null", format!("{name} answers null"), shape.clone(), on(name).result("", Change::Set(Json::Null)));
    if let Some(field) = method.result.iter().find(|field| field.required) {
        let rule = on(name).when(When::From(3)).result(&field.name, Change::Drop);
        let says = format!("{name} answers without {} from its third call on", field.name);
        add("later", says, violates(method, &field.name), rule);
    }
}

/// One of each for each primitive: what is wrong for all of its methods alike.
fn of_primitive(primitive: &str, shapes: &str, out: &mut Vec<Mutant>) {
    let all = format!("{primitive}.*");
    for code in [-32602, -32603, -32001, -32600] {
        out.push(Mutant::new(
            format!("{primitive}/rejects-all{code}"),
            format!("every call of {primitive} is refused with {code}"),
            &format!("{shapes} HSP-3-05"),
            vec![on(&all).refuse(code)],
        ));
    }
    let early = on(&all).when(When::If(|exchange| exchange.count > 1)).refuse(-32602);
    out.push(Mutant::new(
        format!("{primitive}/rejects-later"),
        format!("each method of {primitive} works once and is refused with -32602 from then on"),
        &format!("{shapes} HSP-3-05"),
        vec![early],
    ));
    for (kind, says, act) in
        [("hangs", "never answers", Act::Hang), ("crashes", "closes the connection", Act::Close)]
    {
        out.push(Mutant::new(
            format!("{primitive}/{kind}"),
            format!("a call of {primitive} {says}"),
            &format!("{shapes} HSP-3-05"),
            vec![on(&all).act(act.clone())],
        ));
        if let Some(method) = methods().iter().rev().find(|method| method.primitive.name() == primitive) {
            out.push(Mutant::new(
                format!("{primitive}/{kind}-once"),
                format!("a call of {} {says}", method.name),
                &format!("{} HSP-3-05", method.shape),
                vec![on(&method.name).act(act)],
            ));
        }
    }
}

/// See the module's text.
pub(super) fn all() -> Vec<Mutant> {
    let mut out = Vec::new();
    let mut primitives: Vec<(&str, String)> = Vec::new();
    for method in methods() {
        let name = method.primitive.name();
        match primitives.last_mut().filter(|(last, _)| *last == name) {
            Some((_, shapes)) => *shapes = format!("{shapes} {}", method.shape),
            None => primitives.push((name, method.shape.clone())),
        }
        for field in &method.result {
            of_member(method, field, &field.name, &mut out);
        }
        of_method(method, &mut out);
    }
    for (primitive, shapes) in primitives {
        of_primitive(primitive, &shapes, &mut out);
    }
    out
}
