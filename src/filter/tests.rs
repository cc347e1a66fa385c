//! The language against its specification, what filters see, and their bounds.

use super::*;

/// What an expression gives, as JSON text, or that it gives nothing.
fn evaluated(expression: &str, given: &Value) -> String {
    let node = parser::parse(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
    let mut run = Run { steps_left: FILTER_STEPS_MAX };
    run.evaluate(&node, given).map_or_else(|_| "stopped".to_owned(), |found| found.to_string())
}

fn check(given: Value, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(evaluated(expression, &given), *expected, "{expression}");
    }
}

#[test]
fn names_places_and_projections() {
    let given = json!({
        "a": {"b": {"c": 1}, "x-y": 2}, "list": [{"n": 1, "t": ["p"]}, {"n": 2, "t": ["q", "r"]}, {"m": 3}],
        "numbers": [0, 1, 2, 3, 4], "nested": [[1, 2], [3], 4],
    });
    check(
        given,
        &[
            ("a.b.c", "1"),
            ("a.\"x-y\"", "2"),
            ("a.nothing.at.all", "null"),
            ("@.a.b", r#"{"c":1}"#),
            ("numbers[1]", "1"),
            ("numbers[-1]", "4"),
            ("numbers[9]", "null"),
            ("numbers[1:3]", "[1,2]"),
            ("numbers[::2]", "[0,2,4]"),
            ("numbers[::-1]", "[4,3,2,1,0]"),
            ("numbers[:-2]", "[0,1,2]"),
            ("numbers[-9:9:9]", "[0]"),
            ("list[*].n", "[1,2]"),
            ("list[*].t[]", r#"["p","q","r"]"#),
            ("nested[]", "[1,2,3,4]"),
            ("a.*.c", "[1]"),
            ("list[?n > `1`].t", r#"[["q","r"]]"#),
            ("list[?n > `1`].t | [0][1]", r#""r""#),
            ("list[*].[n, m]", "[[1,null],[2,null],[null,3]]"),
            ("list[1].{number: n, \"first tag\": t[0]}", r#"{"number":2,"first tag":"q"}"#),
            ("a[*]", "null"),
            ("list.n", "null"),
        ],
    );
}

#[test]
fn truth_and_comparison() {
    let given = json!({"zero": 0, "no": false, "empty": "", "none": [], "bare": {}, "text": "a", "one": 1.0});
    check(
        given,
        &[
            ("zero && text", r#""a""#),
            ("no || empty || none || bare", "{}"),
            ("!zero", "false"),
            ("!empty && !none && !bare && !nothing && !no", "true"),
            ("one == `1`", "true"),
            ("one == `\"1\"`", "false"),
            ("`1` < `2`", "true"),
            ("`2` <= `2.0` && `3` >= `2` && `3` > `2`", "true"),
            ("text < 'b'", "null"),
            ("nothing < `1`", "null"),
            ("text != 'a'", "false"),
            ("nothing == `null`", "true"),
            ("[`1`, `2`] == `[1.0, 2]`", "true"),
            ("`{\"a\":1,\"b\":2}` == `{\"b\":2,\"a\":1}`", "true"),
            ("no || text == 'a' && zero == `0`", "true"),
            ("(no || text == 'a') && zero == `1`", "false"),
        ],
    );
    assert_eq!(evaluated(r"'it\'s'", &Value::Null), r#""it's""#);
    assert_eq!(evaluated(r#"`"tick \` tick"`"#, &Value::Null), r#""tick ` tick""#);
}

#[test]
fn functions_are_those_of_the_specification() {
    check(
        json!({"n": [3, 1, 2.5], "t": ["b", "a"], "o": {"k": 1, "l": 2}, "people": [{"age": 9}, {"age": 4}], "e": []}),
        &[
            ("abs(`-2`)", "2"),
            ("avg(n) > `2.16` && avg(n) < `2.17`", "true"),
            ("avg(e)", "null"),
            ("ceil(`1.2`)", "2"),
            ("floor(`-1.2`)", "-2"),
            ("contains(t, 'a')", "true"),
            ("contains('score', 'cor')", "true"),
            ("contains('1', `1`)", "false"),
            ("starts_with('score', 'sc') && ends_with('score', 're')", "true"),
            ("join('-', t)", r#""b-a""#),
            ("keys(o)", r#"["k","l"]"#),
            ("values(o)", "[1,2]"),
            ("length('☃a')", "2"),
            ("length(n)", "3"),
            ("map(&age, people)", "[9,4]"),
            ("max(n)", "3"),
            ("min(t)", r#""a""#),
            ("max(e)", "null"),
            ("max_by(people, &age)", r#"{"age":9}"#),
            ("min_by(people, &age).age", "4"),
            ("merge(o, `{\"k\":5}`)", r#"{"k":5,"l":2}"#),
            ("not_null(nothing, o.k)", "1"),
            ("reverse(t)", r#"["a","b"]"#),
            ("reverse('ab')", r#""ba""#),
            ("sort(n)", "[1,2.5,3]"),
            ("sort_by(people, &age)[*].age", "[4,9]"),
            ("sum(n)", "6.5"),
            ("sum(e)", "0"),
            ("to_array('a')", r#"["a"]"#),
            ("to_number('1.5')", "1.5"),
            ("to_number('x')", "null"),
            ("to_string(o)", r#""{\"k\":1,\"l\":2}""#),
            ("type(nothing)", r#""null""#),
            ("length(`1`)", "stopped"),
            ("sort(`[1, \"a\"]`)", "stopped"),
            ("sum(t)", "stopped"),
            ("starts_with(nothing, 'a')", "stopped"),
        ],
    );
}

fn message(name: Option<&str>, extras: Value) -> Message {
    Message { name: name.map(str::to_owned), extras: extras.as_object().cloned(), ..Message::default() }
}

#[test]
fn a_filter_sees_the_name_and_the_headers() {
    let filter = Filter::parse("name == `\"filtered\"` && headers.number == `26095`").unwrap();
    let passes = |name, extras| filter.passes(&seen(&message(name, extras)));
    assert!(passes(Some("filtered"), json!({"headers": {"number": 26095}})));
    assert!(passes(Some("filtered"), json!({"headers": {"number": 26095.0}})));
    assert!(!passes(Some("filtered"), json!({"headers": {"number": "26095"}})));
    assert!(!passes(Some("other"), json!({"headers": {"number": 26095}})));
    assert!(!passes(Some("filtered"), json!({"number": 26095})));
    assert!(!passes(None, Value::Null));
    let by = |expression| Filter::parse(expression).unwrap();
    assert!(by("headers.\"x-y\" && !clientId").passes(&seen(&message(None, json!({"headers": {"x-y": 0}})))));
    assert!(!by("starts_with(name, 'a')").passes(&seen(&message(None, Value::Null))), "an error is no match");
}

fn refused(expression: &str) -> String {
    let error = Filter::parse(expression).unwrap_err();
    assert!(error.is(Code::BadChannelName), "{error}");
    error.message
}

#[test]
fn what_is_no_filter_is_refused_and_told_why() {
    for (expression, why) in [
        ("", "empty"),
        (" \n", "empty"),
        ("name ==", "ends too early"),
        ("name = 'a'", "a '='"),
        ("(name", "ends too early"),
        ("name)", "')' cannot"),
        ("name[", "ends too early"),
        ("headers[1.5]", "'.' cannot"),
        ("headers[::0]", "step"),
        ("headers[99999999999999999999]", "no whole number"),
        ("'name", "does not end"),
        ("`{`", "must be JSON"),
        ("\"\\x\"", "JSON string"),
        ("name 'a'", "literal"),
        ("nothing(name)", "no function"),
        ("length(name, name)", "2 arguments"),
        ("length(&name)", "another kind"),
        ("sort_by(headers, name)", "another kind"),
        ("&name", "ends too early"),
        ("name == data", "'data'"),
        ("@.data", "'data'"),
        ("length(data) > `5`", "'data'"),
        ("headers.a || extras.headers.a", "'extras'"),
        ("[name, encoding]", "'encoding'"),
    ] {
        assert!(refused(expression).contains(why), "{expression}: {}", refused(expression));
    }
    assert!(Filter::parse("headers.data == 'x' && headers.list[?extras]").is_ok(), "they are headers");
}

#[test]
fn a_filter_is_bounded_in_length_depth_and_parts() {
    assert!(refused(&format!("name == '{}'", "x".repeat(10 * 1_024))).contains("1024 bytes"));
    for nested in ["(", "!", "[", "{a:", "headers[?", "not_null("] {
        let text: String = nested.repeat(FILTER_MAX_BYTES / nested.len());
        assert!(refused(&text).contains("deep") || refused(&text).contains("128"), "{nested}: {}", refused(&text));
    }
    let deep = |depth: usize| format!("{}name{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&deep(31)).is_ok());
    assert!(refused(&deep(32)).contains("32 deep"));
    assert!(refused(&"name||".repeat(100)).contains("128"));
    let wide = Filter::parse(&["name"; 64].join("||")).unwrap();
    assert!(wide.passes(&json!({"name": "a"})));
}

#[test]
fn work_for_one_message_is_bounded() {
    let headers: Value =
        (0..20).map(|index| (format!("h{index}"), json!(index))).collect::<serde_json::Map<_, _>>().into();
    let seen = json!({"name": "a", "headers": headers, "clientId": null});
    let passes = |expression: &str| Filter::parse(expression).unwrap().passes(&seen);
    assert!(passes("length(values(headers)) == `20`"));
    assert!(!passes("[@,@,@] | [@,@,@] | [@,@,@] | [@,@,@] | [@,@,@]"), "a copy of each is too much");
    assert!(!passes("values(headers)[?length(to_string(@)) > `0`] | [*].[@,@,@,@,@,@]"));
    let long = json!({"name": "x".repeat(20_000)});
    let finds = |expression: &str| Filter::parse(expression).unwrap().passes(&long);
    assert!(finds("contains(name, 'y') || contains(name, 'x')"));
    assert!(!finds("contains(name, 'y') || contains(name, 'z') || contains(name, 'x')"), "three looks are too much");
    assert!(finds("name != 'y'"));
}

#[test]
fn base64_is_read_in_either_alphabet() {
    let expression = "name == '>?>'";
    let standard = BASE64.encode(expression);
    for text in [standard.clone(), standard.replace('=', ""), standard.replace('+', "-").replace('/', "_")] {
        assert_eq!(Filter::decode(&text).unwrap().expression(), expression, "{text}");
    }
    for text in ["", "%", "a", "_w==", "////"] {
        assert!(Filter::decode(text).unwrap_err().is(Code::BadChannelName), "{text:?}");
    }
}

#[test]
fn a_parameter_becomes_a_part_of_the_name() {
    let query = [("filter".to_owned(), "name".to_owned())];
    assert_eq!(named("a", &[]), "a");
    assert_eq!(named("a", &[("filter".to_owned(), String::new())]), "a", "an empty one is none");
    assert_eq!(named("a", &query), "[filter=bmFtZQ==]a");
    assert_eq!(named("[?echo=false]a", &query), "[filter=bmFtZQ==?echo=false]a");
}
