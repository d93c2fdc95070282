//! Which of the known names a mistyped one may have meant.

use pgkeep_model::evidence::QualifiedName;

/// How many names are proposed.
const SHOWN: usize = 3;

/// The known names that are nearest to `wanted`, best first; only those that could be a slip. Case never counts, so a
/// name that was folded is found, and a schema counts only where one is given.
pub(crate) fn nearest<'a>(
    wanted: &str,
    known: impl IntoIterator<Item = &'a QualifiedName>,
) -> Vec<&'a QualifiedName> {
    let wanted: String = wanted
        .chars()
        .filter(|c| !matches!(c, '"' | '*' | '?'))
        .flat_map(char::to_lowercase)
        .collect();
    let (_, wanted_table) = wanted.rsplit_once('.').unwrap_or(("", &wanted));
    let mut near: Vec<(usize, &QualifiedName)> = known
        .into_iter()
        .filter_map(|name| {
            let table = name.name.to_lowercase();
            let whole = name.to_string().to_lowercase();
            let apart = strsim::damerau_levenshtein(wanted_table, &table);
            // The right table in another schema is worth naming, however different the schemas are called.
            (apart <= wanted_table.chars().count() / 3)
                .then(|| (apart * 100 + strsim::levenshtein(&wanted, &whole), name))
        })
        .collect();
    near.sort();
    near.truncate(SHOWN);
    near.into_iter().map(|(_, name)| name).collect()
}

/// `; did you mean a or b?`, or nothing.
pub(crate) fn did_you_mean<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("; did you mean {}?", names.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_folded_names_and_other_schemas_are_found() {
        let known = ["public.Orders", "public.log", "shop.log", "shop.customers"]
            .map(|name| name.split_once('.').expect("a schema"))
            .map(|(schema, name)| QualifiedName::new(schema, name));
        let check = |wanted: &str, expected: &[&str]| {
            let found: Vec<String> = nearest(wanted, &known)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected, "{wanted}");
        };
        check("Orders", &["public.Orders"]);
        check("public.order", &["public.Orders"]);
        check("shop.log", &["shop.log", "public.log"]);
        check("\"shop\".\"custmoers\"", &["shop.customers"]);
        check("nothing", &[]);
    }
}
