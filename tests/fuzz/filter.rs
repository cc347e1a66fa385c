//! Filters: whatever is written is refused or is evaluated, within its steps.

use courtside::filter::{Filter, named};
use courtside::model::name::ChannelName;
use serde_json::json;

use crate::input::Input;

const GOOD: &[&str] = &[
    "name == `\"goal\"` && headers.minute > `85`",
    "headers.\"x-y\" || !(name != 'a') && starts_with(name, 'b')",
    "values(headers)[?@ > `1`] | [0:2:-1][] | {a: @, b: [@, *]}",
    "sort_by([headers], &keys(@)[0])[*].a.*.b[?c][1]",
    "join('-', sort(keys(merge(headers, `{\"a\":[1,null]}`)))) != to_string(not_null(clientId, `0`))",
    "map(&abs(to_number(@)), to_array(headers.n)) == `[1]` || avg(values(headers)) >= max(`[1]`)",
];

pub fn expression(input: &mut Input) {
    let text = input.text("expression", GOOD);
    let headers = json!({"a": 1, "b": "two", "minute": 90.5, "n": "-3", "x-y": null, "c": true});
    if let Ok(filter) = Filter::parse(&text) {
        for seen in [json!({"name": "goal", "clientId": null, "headers": headers}), json!({"name": null})] {
            assert_eq!(filter.passes(&seen), filter.passes(&seen));
        }
        let name = ChannelName::parse(&named("room", &[("filter".to_owned(), text.clone())])).expect("it fits a name");
        assert_eq!(Filter::decode(name.filter().expect("a filter")).expect("the same").expression(), text);
    }
}
