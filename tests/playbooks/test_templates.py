"""Values of a playbook's commands stay data: real shells are run with hostile ones, and hostile places are refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from watchfloor_guardrails.action import MAX_TEXT
from watchfloor_playbooks.template_http import filled_content, filled_header, filled_json, filled_path
from watchfloor_playbooks.template_numbers import TemplateError, fault_of
from watchfloor_playbooks.templates import (
    bash_arguments,
    http_arguments,
    openc2_arguments,
    powershell_arguments,
    ssh_arguments,
    values_of,
)

HOSTILE = (
    "$(>pwned)", "`>pwned`", "; >pwned", "'; >pwned; '", '"; >pwned; "', "\n>pwned\n", "\r\n>pwned", "| tee pwned",
    "a[$(>pwned)]", "x[$(>pwned)]=1", "${x:=$(>pwned)}", "$((a[$(>pwned)]))", "&& >pwned", ") >pwned (", "}; >pwned; {",
    "{{7*7}}", "*", "~", "{a,b}", "!!", "\\", "\\'", "$'\\x41'", "\u202egnp.exe", "\u200b", "--", "-n", "-e", "-v",
    "$IFS", "${1}", "$1", "$@", "%s%n", "<<EOF", "#", " ", "\t", "\x01", "\x7f", "é", "\U0001f600", "''", '""',
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4).map("".join),
    st.text(min_size=1, max_size=40),
).filter(lambda text: fault_of(text) is None)
RUNS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def run(shell: str, script: str, values: tuple[str, ...], folder: Path) -> bytes:
    done = subprocess.run(
        [shell, "-c", "--", script, shell, *values],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert os.listdir(folder) == [], done
    return done.stdout


# template | what is to arrive, of the value
ARRIVES = [
    ("printf -- '%s\\0' __x__:value", "{}\0"),
    ('printf -- \'%s\\0\' "a __x__:value b"', "a {} b\0"),
    ("printf -- '%s\\0' pre__x__:value'post'", "pre{}post\0"),
    ("printf -- '%s\\0' __x__:value__x__:value z", "{}{}\0z\0"),
    ('printf -- \'%s\\0\' "$(printf -- \'%s.\' __x__:value)"', "{}.\0"),
    ('printf -- \'%s\\0\' "$(printf -- \'%s.\' "__x__:value")"', "{}.\0"),
    ("y=__x__:value; printf -- '%s\\0' \"$y\"", "{}\0"),
    ("for y in a=__x__:value; do printf -- '%s\\0' \"$y\"; done", "a={}\0"),
    ("if [ -n .__x__:value ]; then\n  printf -- '%s\\0' __x__:value  # says it\nfi", "{}\0"),
    ("printf -- '%s\\0' __x__:value | cat", "{}\0"),
    ("case .__x__:value in\n *) printf -- '%s\\0' __x__:value;;\nesac", "{}\0"),
    ("cat <<EOF >/dev/null\n\" ' $HOME\nEOF\nprintf -- '%s\\0' __x__:value", "{}\0"),
    ("set -eu\nprintf -- '%s\\0' \\\n  __x__:value 2>/dev/null", "{}\0"),
    ("(printf -- '%s\\0' __x__:value)", "{}\0"),
    ("{ printf -- '%s\\0' __x__:value; }", "{}\0"),
    ("y=b; [[ $y = b && __x__:value != $y || a = b ]]; printf -- '%s\\0' __x__:value", "{}\0"),
]  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize(("template", "expected"), ARRIVES, ids=range(len(ARRIVES)))
@RUNS
@given(value=VALUES)
@example(value="$(reboot)")
@example(value="; rm -rf /")
@example(value="a\r\nb\n")
@example(value="-rf")
def test_a_value_arrives_byte_for_byte(shell: str, template: str, expected: str, value: str, tmp_path: Path) -> None:
    made = (bash_arguments if shell == "bash" else ssh_arguments)(template, {"__x__": value})
    text = made["script" if shell == "bash" else "command"]
    assert run(shell, text, values_of(made), tmp_path) == expected.replace("{}", value).encode()


FRAGMENTS = (
    "echo", "printf -- %s", "cat", ":", "true", "test", "[", "]", "[[", "]]", "-eq", "-v", "-n", "=", "x=", "y=1", "a[",
    "$x", "${x}", "${x:-", "}", "{", "$((", "))", "((", "$(", ")", "(", "`", "'", '"', "\\", "#", ";", "&&", "|",
    "\n", "<<E", "<<'E'", "\nE\n", "<<<", "<", ">/dev/null", "eval", "sh -c", "bash", "env", "xargs", "let",
    "declare -i", "export", "read", "unset", "f()", "for i in", "; do", "; done", "if", "; then", "; fi", "case", "in",
    ";;", "esac", "$1", '"$@"', "set --", "source", ".", "trap", "exec", "awk", "--", "-", "$", "$'", "$[", "!", "x",
    " ", " ", "__v__:value", "__v__:value", "__v__:value", '"__v__:value"', " __v__:value ", "x=__v__:value;", "$((x))",
)  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "sh"])
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=st.lists(st.sampled_from(FRAGMENTS), min_size=2, max_size=12), value=st.sampled_from(HOSTILE[:14]))
def test_whatever_text_is_taken_no_value_in_it_runs(shell: str, pieces: list[str], value: str, tmp_path: Path) -> None:
    """Nonsense is composed from what a shell gives a meaning to; a value that ran would leave a file."""
    text = " ".join(pieces) if len(pieces) % 2 else "".join(pieces)
    try:
        made = bash_arguments(text, {"__v__": value})
    except TemplateError:
        return
    if len(made) == 1:
        return  # The reference was lost in the composition.
    subprocess.run(
        ["timeout", "2", shell, "-c", "--", made["script"], shell, *values_of(made)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert not (tmp_path / "pwned").exists(), made


REFUSED = [
    ("echo '__x__:value'", "single quotes"),
    ("cat <<EOF\n__x__:value\nEOF", "here-document"),
    ("cat <<-'EOF'\n\t__x__:value\n\tEOF", "here-document"),
    ("echo hi # __x__:value", "comment"),
    ("eval echo __x__:value", "'eval' reads text as code"),
    ("bash -c 'echo \"$0\"' __x__:value", "reads text as code"),
    ('sh -c "echo __x__:value"', "reads text as code"),
    ("echo __x__:value | sh", "reads text as code"),
    ("sudo bash -c id __x__:value", "reads text as code"),
    ("find . -exec sh -c 'x' -- __x__:value ';'", "reads text as code"),
    ("source __x__:value", "'source' reads text as code"),
    (". __x__:value", "'.' reads text as code"),
    ("trap __x__:value EXIT", "'trap'"),
    ("ssh host -- id __x__:value", "'ssh'"),
    ("echo `id __x__:value`", "backticks"),
    ("echo `id` __x__:value", "backticks"),
    ("echo $((__x__:value + 1))", "arithmetic"),
    ("y=__x__:value; echo $((y + 1))", "arithmetic"),
    ("echo $[1] __x__:value", "arithmetic"),
    ("((i++)); echo __x__:value", "arithmetic"),
    ("for ((i=0;i<2;i++)); do echo __x__:value; done", "arithmetic"),
    ("let y=1; echo __x__:value", "'let'"),
    ("declare -i y; y=__x__:value", "'declare'"),
    ("[[ __x__:value -eq 5 ]]", "comparison of numbers"),
    ("y=__x__:value\n[[ a && $y -gt 5 ]]", "comparison of numbers"),
    ("[[ a\neval __x__:value", "is not closed"),
    ("[[ a || eval __x__:value ]]", "'eval'"),
    ("echo __x__:value; [[ a", "is not closed"),
    ("[[ -v __x__:value ]]", "comparison of numbers"),
    ("test -v __x__:value", "name of a variable"),
    ("printf -v __x__:value hi", "name of a variable"),
    ("unset __x__:value", "names of variables"),
    ("read __x__:value", "names of variables"),
    ("export __x__:value=1", "names of variables"),
    ("a[__x__:value]=1", "subscript"),
    ("PATH=__x__:value ls", "steers the shell"),
    ("LD_PRELOAD=__x__:value ls", "steers the shell"),
    ("export BASH_ENV=__x__:value", "steers the shell"),
    ("__x__:value --help", "name of a command"),
    ("true && /opt/__x__:value", "name of a command"),
    ('y=__x__:value; "$y" now', "known only as it runs"),
    ("sudo __x__:value", "name of the command"),
    ("env A=1 __x__:value", "name of the command"),
    ("find . -exec __x__:value ';'", "name of a command"),
    ("awk __x__:value", "program that 'awk' runs"),
    ('awk "{ print __x__:value }"', "part of a word"),
    ("python3 -c \"print('__x__:value')\"", "part of a word"),
    ("python3 -c __x__:value", "program that 'python3' runs"),
    ("sed -e s/a/__x__:value/ f", "part of a word"),
    ("f() { echo __x__:value; }", "function"),
    ("f () { echo __x__:value; }", "function"),
    ('compgen -W "__x__:value"', "'compgen'"),
    ("echo __x__:value | xargs rm", "splits a value"),
    ('tar -xf a --to-command="__x__:value"', "option that takes a command"),
    ("rsync --rsh __x__:value a b", "option that takes a command"),
    ("git -c core.sshCommand=__x__:value pull", "option that takes a command"),
    ("function f { echo __x__:value; }", "'function'"),
    ("shift; echo __x__:value", "'shift'"),
    ("set -- a b; echo __x__:value", "'set'"),
    ('echo "$1" __x__:value', "positional parameters"),
    ('echo "$@" __x__:value', "positional parameters"),
    ("echo ${y:-__x__:value}", "no parameter can take its place"),
    ("echo ${!y} __x__:value", "not followed here"),
    ("echo ${y@P} __x__:value", "not followed here"),
    ("echo \\__x__:value", "after a backslash"),
    ("echo $__x__:value", "before a reference"),
    ("echo $'__x__:value'", "no parameter can take its place"),
    ('echo "__x__:value', "not closed"),
    ("echo $(id __x__:value", "is missing"),
    ("x=(a __x__:value)", "array"),
    ("echo $(case a in a) echo __x__:value;; esac)", "'case'"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=range(len(REFUSED)))
def test_a_reference_is_refused_where_a_value_could_run(text: str, why: str) -> None:
    with pytest.raises(TemplateError) as refusal:
        bash_arguments(text, {"__x__": "harmless"})
    assert why in str(refusal.value)
    assert "(line " in str(refusal.value)


def test_a_text_without_references_is_the_authors_alone() -> None:
    text = 'f() { eval "$1"; }\nx=$((1 + 2)); cat <<E\n\'\nE\n'
    assert bash_arguments(text, {}) == {"script": text}


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("rm -f __x__:value", False),
        ("rm -f -- __x__:value", True),
        ("rm -f ./__x__:value", True),
        ("curl --data=__x__:value", True),
        ('curl "__x__:value"', False),
        ("echo {a,__x__:value}", False),
        ("case __x__:value in -*) true;; esac", True),
        ("y=__x__:value", True),
        ("grep -e __x__:value f", False),
        ("git -- log __x__:value", True),
        ("cat <<< __x__:value", True),
        ('curl "--data={\\"action\\": \\"__x__:value\\"}"', False),
        ("sudo -- rm -f __x__:value", False),
        ("sudo rm -f -- __x__:value", True),
        ("sudo -- rm -f -- a.__x__:value __x__:value", True),
        ("kubectl exec pod -- cat __x__:value", False),
        ("find . -exec rm -- __x__:value ';'", True),
        ("jq -n --arg ip __x__:value '.'", False),
        ("[[ a = __x__:value ]]", True),
        ("[[ a = b && ( b != c || -n __x__:value ) ]]", False),
        ("xargs -0 grep -e __x__:value", False),
        ("find . -exec grep -l -- __x__:value {} ';'", True),
    ],
)
def test_a_value_that_begins_with_a_dash_is_no_option(text: str, is_taken: bool) -> None:
    assert bash_arguments(text, {"__x__": "plain-"})["value.1"] == "plain-"
    if is_taken:
        assert bash_arguments(text, {"__x__": "-rf"})["value.1"] == "-rf"
    else:
        with pytest.raises(TemplateError, match="write '--' before"):
            bash_arguments(text, {"__x__": "-rf"})


@pytest.mark.parametrize(
    ("value", "why"),
    [("", "is empty"), ("a\0b", "NUL"), ("\ud800", "no valid text"), ("x" * (MAX_TEXT + 1), "longer than")],
)
def test_what_no_action_can_carry_is_refused(value: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        bash_arguments("echo -- __x__:value", {"__x__": value})


def test_values_are_numbered_by_their_first_use_and_others_are_spelled_as_json() -> None:
    made = bash_arguments("echo __b__:value __a__:value __b__:value", {"__a__": True, "__b__": 5, "__c__": "unused"})
    assert made == {"script": 'echo "${1}" "${2}" "${1}"', "value.1": "5", "value.2": "true"}
    with pytest.raises(TemplateError, match="__a__ has no value"):
        bash_arguments("echo __a__:value", {})
    with pytest.raises(TemplateError, match="more than 64"):
        bash_arguments("echo " + " ".join(f"__v{n}__:value" for n in range(65)), {})
    with pytest.raises(TemplateError, match="'script' has"):
        bash_arguments("x" * (MAX_TEXT + 1), {})


def test_powershell_takes_values_by_name() -> None:
    made = powershell_arguments('Get-Item -- "C:\\__x__:value" -Name __y__:value', {"__x__": "a", "__y__": "$(b)"})
    assert made["script"] == 'Get-Item -- "C:\\${env:WF_1}" -Name ${env:WF_2}'
    assert values_of(made) == ("a", "$(b)")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Write-Output '__x__:value'", "single quotes"),
        ("Write-Output @'\n__x__:value\n'@", "here-string"),
        ('Write-Output @"\n__x__:value\n"@', "here-string"),
        ("# __x__:value", "comment"),
        ("<# __x__:value #>", "comment"),
        ("iex __x__:value", "reads text as code"),
        ("Invoke-Expression \"x __x__:value\"", "reads text as code"),
        ("$y = __x__:value; iex $y", "reads text as code"),
        ("pwsh -EncodedCommand __x__:value", "reads text as code"),
        ("[ScriptBlock]::Create(__x__:value)", "reads text as code"),
        ("cmd /c echo __x__:value", "reads text as code"),
        ("& __x__:value", "name of a command"),
        ('& "__x__:value"', "name of a command"),
        (". __x__:value", "name of a command"),
        ("$o.__x__:value()", "name of a command or a member"),
        ("$env:PATH = __x__:value", "steers"),
        ("Write-Output $__x__:value", "'\\$' stands before"),
        ("Write-Output `__x__:value", "backtick"),
        ("Write-Output \u201c__x__:value\u201d", "typographic"),
        ("Write-Output ${a__x__:value}", "no variable can take its place"),
        ('Write-Output "__x__:value', "not closed"),
    ],
)  # fmt: skip
def test_powershell_is_refused_where_a_value_could_run(text: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        powershell_arguments(text, {"__x__": "harmless"})


def test_powershell_refuses_a_value_that_would_be_a_parameter() -> None:
    with pytest.raises(TemplateError, match="write '--' before"):
        powershell_arguments("Get-Item __x__:value", {"__x__": "-Force"})
    assert powershell_arguments('$y = "a__x__:value"', {"__x__": "-Force"})["value.1"] == "-Force"


@settings(max_examples=200, deadline=None)
@given(value=VALUES)
def test_a_value_is_one_piece_of_a_path_and_of_a_query(value: str) -> None:
    try:
        made = http_arguments("GET /v1/hosts/__x__:value/tags?q=__x__:value&n=1 HTTP/1.1", {}, None, {"__x__": value})
    except TemplateError:
        assert any(part in (".", "..") for part in value.replace("\\", "/").replace(";", "/").split("/"))
        return
    path, _, query = filled_path(made["path"], values_of(made)).partition("?")
    assert [unquote(part) for part in path.split("/")] == ["", "v1", "hosts", value, "tags"]
    assert parse_qsl(query, keep_blank_values=True) == [("q", value), ("n", "1")]
    assert (path + query).isascii()
    assert (path + query).isprintable()


@settings(max_examples=200, deadline=None)
@given(value=VALUES)
def test_a_value_is_one_text_of_json_and_of_a_form(value: str) -> None:
    content = '{"host": "h-__x__:value", "all": [__x__:value, "$1 ${1}", __n__:value], "q\\"": true}'
    made = http_arguments("POST /", {"Content-Type": "application/json"}, content, {"__x__": value, "__n__": 3})
    filled = filled_content(made["content"], values_of(made), "application/json")
    assert json.loads(filled) == {"host": f"h-{value}", "all": [value, "$1 ${1}", 3], 'q"': True}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    made = http_arguments("POST /", form, "a=__x__:value&b=1", {"__x__": value})
    filled = filled_content(made["content"], values_of(made), form["Content-Type"])
    assert parse_qsl(filled, keep_blank_values=True, strict_parsing=True) == [("a", value), ("b", "1")]


@settings(max_examples=200, deadline=None)
@given(value=VALUES)
def test_a_header_holds_no_line_end_and_no_control(value: str) -> None:
    try:
        filled = filled_header("id ${1}.", (value,))
    except TemplateError:
        assert not (value.isascii() and value.isprintable())
    else:
        assert filled == f"id {value}."


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("line", "headers", "content", "value", "why"),
    [
        ("GET https://evil.example/__x__:value", {}, None, "a", "begins with one '/'"),
        ("GET //__x__:value/a", {}, None, "a", "begins with one '/'"),
        ("GET __x__:value", {}, None, "/a", "begins with one '/'"),
        ("GET /a#__x__:value", {}, None, "a", "begins with one '/'"),
        ("GET /a/__x__:value/b", {}, None, "..", "leads elsewhere"),
        ("GET /a/.__x__:value/b", {}, None, ".", "leads elsewhere"),
        ("GET /a/__x__:value", {}, None, "../../admin", "leads elsewhere"),
        ("GET /a?__x__:value=1", {}, None, "a", "names a parameter"),
        ("TRACE /a", {}, None, "a", "no start line"),
        ("__x__:value /a", {}, None, "GET", "no start line"),
        ("GET /a HTTP/1.1\r\nHost: b", {}, None, "a", "no start line"),
        ("GET /a", {"X-__x__:value": "b"}, None, "a", "no name of a header"),
        ("GET /a", {"X-A\r\nB": "b"}, None, "a", "no name of a header"),
        ("GET /a", {"X-A": "__x__:value"}, None, "a\r\nHost: b", "a header holds"),
        ("GET /a", {"X-A": "__x__:value"}, None, "a\u202eb", "a header holds"),
        ("POST /a", {"Content-Type": "__x__:value"}, "{}", "text/plain", "Content-Type"),
        ("POST /a", {"Content-Type": "text/plain"}, "__x__:value", "a", "JSON and of forms only"),
        ("POST /a", JSON, '{"__x__:value": 1}', "a", "name of a JSON member"),
        ("POST /a", JSON, '{"a": "\\__x__:value"}', "u0041", "after a backslash"),
        ("POST /a", JSON, '{"a": 1__x__:value}', "a", "no JSON"),
        ("POST /a", {"Content-Type": "application/x-www-form-urlencoded"}, "__x__:value=1", "a", "names a field"),
    ],
)  # fmt: skip
def test_a_request_is_refused_where_a_value_could_be_more_than_data(
    line: str, headers: dict[str, str], content: str | None, value: str, why: str
) -> None:
    with pytest.raises(TemplateError, match=why):
        http_arguments(line, headers, content, {"__x__": value})


def test_a_placeholder_in_a_value_is_text() -> None:
    assert filled_json('["${1}", "${2}"]', ("${2}", "b")) == '["${2}", "b"]'
    assert filled_path("/${1}", ("${1}",)) == "/%24%7B1%7D"
    with pytest.raises(TemplateError, match="no value for the placeholder"):
        filled_path("/${2}", ("a",))
    with pytest.raises(TemplateError, match="stands alone"):
        filled_header("a$b", ())
    with pytest.raises(TemplateError, match="is none"):
        filled_json("[${1:json}]", ('1, "x"',))


def test_an_openc2_command_is_json_with_its_values() -> None:
    content = '{"action": "deny", "target": {"ipv4_net": "__ip__:value"}}'
    made = openc2_arguments(content, {"__ip__": '198.51.100.7"}, "args": {"'})
    assert made["content"] == content.replace("__ip__:value", "${1}")
    assert json.loads(filled_json(made["content"], values_of(made)))["target"]["ipv4_net"].startswith("198.51.100.7")


def test_what_the_page_says_to_write_is_taken_and_what_it_says_to_avoid_is_not() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "run-commands.md"
    rows = re.findall(r"(?m)^\| `([^`]+)` \| (?:`([^`]+)`|a fixed name) \|", page.read_text(encoding="utf-8"))
    assert len(rows) == 6
    for avoid, write in rows:
        with pytest.raises(TemplateError):
            bash_arguments(avoid, dict.fromkeys(re.findall(r"__[a-z]+__", avoid), "-x"))
        if write:
            assert bash_arguments(write, dict.fromkeys(re.findall(r"__[a-z]+__", write), "x"))["value.1"] == "x"
    example = re.findall(r"(?ms)^```text\n(set -eu.*?)^```$", page.read_text(encoding="utf-8"))
    assert values_of(bash_arguments(example[0], {"__user__": "mallory; id"})) == ("mallory; id",)


def test_a_gap_among_the_values_is_refused() -> None:
    with pytest.raises(TemplateError, match="not all there"):
        values_of({"script": "x", "value.2": "a"})
    with pytest.raises(TemplateError, match="no texts"):
        values_of({"value.1": 5})
