//! Dictionaries with the fields of structures, for the dataclasses in Python.

/// Sets an item for each field, under its own name: `set_fields!(dict, stats, sent, bytes_sent)`.
macro_rules! set_fields {
    ($dict:expr, $from:expr, $($field:ident),+ $(,)?) => {
        $($dict.set_item(stringify!($field), $from.$field)?;)+
    };
}

pub(crate) use set_fields;
