//! The `topology` key: named graphs, and edges from a file or from the scenario itself.

use std::io::Read;
use std::path::Path;

use super::error::Fault;
use super::model::Topology;
use super::reader::{Setting, text, wrong};
use super::tree::{Node, Value};
use super::units;

/// Largest text that is read, whether scenario or edges; far above any use, so that a wrong file name is an error and
/// not a full memory.
pub(super) const TEXT_MAX: u64 = 256 << 20;

/// Reads `"k-out:20"`, `"ring:2"`, `"small-world:4:10%"`, `"scale-free:5"`, `"none"`, `"g8"`, `"file:PATH"` or an array of pairs.
pub(super) fn read(node: &Node, base: &Path) -> Result<Topology, Fault> {
    if let Value::List(items) = &node.value {
        return items.iter().map(pair).collect::<Result<_, _>>().map(Topology::Edges);
    }
    let shown = text(node)?;
    let number = |digits: &str| {
        digits.trim().parse().map_err(|_| {
            Fault::new(node.at, format!("`{shown}`: `{digits}` is not a number of peers"))
                .help("write it like k-out:20")
        })
    };
    match shown.split_once(':').map_or((shown, None), |(kind, rest)| (kind, Some(rest))) {
        ("k-out", Some(k)) => number(k).map(Topology::KOut),
        ("ring", Some(k)) => number(k).map(Topology::Ring),
        ("small-world", Some(rest)) => {
            let Some((k, p)) = rest.split_once(':') else {
                return Err(Fault::new(node.at, "a small world needs links and a share")
                    .help("write small-world:4:10%"));
            };
            let share = units::share(p).map_err(|message| Fault::new(node.at, message))?;
            Ok(Topology::SmallWorld(number(k)?, share))
        }
        ("scale-free", Some(m)) => number(m).map(Topology::ScaleFree),
        ("none", None) => Ok(Topology::None),
        ("g8", None) => Ok(Topology::G8),
        ("file", Some(path)) => {
            let path = base.join(path.trim());
            let text = read_text(&path).map_err(|message| Fault::new(node.at, message))?;
            edges(&text)
                .map(Topology::Edges)
                .map_err(|(line, what)| Fault::new(node.at, format!("{}:{line}: {what}", path.display())))
        }
        _ => Err(Fault::new(node.at, format!("unknown topology `{shown}`")).help(
            "k-out:20, ring:2, small-world:4:10%, scale-free:5, none, g8, file:PATH, or an array of [a, b]",
        )),
    }
}

fn pair(node: &Node) -> Result<(u32, u32), Fault> {
    match &node.value {
        Value::List(items) if items.len() == 2 => Ok((u32::read(&items[0])?, u32::read(&items[1])?)),
        Value::List(_) => Err(Fault::new(node.at, "an edge has two ends: [a, b]")),
        Value::Flag(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Table(_)
        | Value::Date => Err(wrong(node, "an edge [a, b]")),
    }
}

/// Parses lines `a b` or `a,b`; `#` starts a comment.
fn edges(text: &str) -> Result<Vec<(u32, u32)>, (usize, String)> {
    let mut edges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let mut numbers = content.split([' ', '\t', ',']).filter(|part| !part.is_empty()).map(str::parse);
        let (Some(Ok(a)), Some(Ok(b)), None) = (numbers.next(), numbers.next(), numbers.next()) else {
            let shown: String = content.chars().take(40).collect();
            return Err((index + 1, format!("`{shown}` is not an edge: write two peer numbers, like 0 1")));
        };
        edges.push((a, b));
    }
    Ok(edges)
}

/// Reads a text file; a directory, a binary file and one beyond [`TEXT_MAX`] are errors that name it.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("cannot read {shown}: {error}");
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(format!("cannot read {shown}: it is a directory"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(TEXT_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > TEXT_MAX {
        return Err(format!("cannot read {shown}: it is larger than {} MiB", TEXT_MAX >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("{shown} is not a text file: byte {} is not UTF-8", error.utf8_error().valid_up_to())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_files_take_spaces_commas_and_comments() {
        assert_eq!(edges("0 1\n1,2 # ring\n\n# end\n2, 0\n"), Ok(vec![(0, 1), (1, 2), (2, 0)]));
        assert_eq!(edges("0 1\n0 1 2").expect_err("three ends").0, 2);
        assert_eq!(edges("0 -1").expect_err("negative").0, 1);
    }
}
