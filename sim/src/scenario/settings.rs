//! Tables of the file that are structs of settings, field by field.

/// Declares, for one struct of settings, its fields, how they are read over a profile's values, and how they are
/// written. The pattern in `$write` names every field, so that a field added to the struct does not compile without
/// being listed here.
macro_rules! settings {
    ($fields:ident, $read:ident, $write:ident, $struct:ident { $($name:ident: $type:ty),+ $(,)? } also { $($rest:ident)? }
     with { $($extra:expr),* }) => {
        pub(super) static $fields: &[Field] = &[
            $($extra,)*
            $(field(stringify!($name), <$type as Setting>::KIND, concat!(
                "`", stringify!($struct), "::", stringify!($name), "` of the protocol's Rust documentation. Default: the profile's."
            )),)+
        ];

        fn $read(reader: &Reader<'_>, config: &mut $struct) -> Result<(), Fault> {
            $(reader.set::<$type>(stringify!($name), &mut config.$name)?;)+
            Ok(())
        }

        fn $write(config: &$struct, out: &mut String) {
            let $struct { $($name,)+ $($rest: _)? } = config;
            $(out.push_str(&format!("{} = {}\n", stringify!($name), Setting::write($name)));)+
        }
    };
}

pub(super) use settings;
