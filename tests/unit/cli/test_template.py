"""Go templates: the output is what Go's text/template gives for the same input."""

from __future__ import annotations

import pytest

from corten.cli.template import Template, TemplateError

VALUE = {
    "ID": "4b1c0ffee",
    "Names": ["web", "www"],
    "State": {"Pid": 42, "Running": True, "Error": "", "Health": None},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None},
    "Size": 1.5,
    "Label": lambda key: f"<{key}>",
    "Empty": [],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{.ID}}", "4b1c0ffee"),
        ("{{ .State.Pid }}", "42"),
        ("{{.State.Running}}", "true"),
        ("{{.Size}}", "1.5"),
        ("{{.Names}}", "[web www]"),
        ("{{.State}}", "map[Error: Health:<nil> Pid:42 Running:true]"),
        ("{{.State.Health}}", "<no value>"),
        ("{{.Nope}}", "<no value>"),
        ("{{json .Names}}", '["web","www"]'),
        ("{{json .State}}", '{"Pid":42,"Running":true,"Error":"","Health":null}'),
        ("{{.Names | json}}", '["web","www"]'),
        ("{{upper .ID}} {{.ID | upper | lower}}", "4B1C0FFEE 4b1c0ffee"),
        ('{{join .Names ", "}}', "web, www"),
        ('{{split "a/b" "/"}}', "[a b]"),
        ('{{title "hello world"}}', "Hello World"),
        ('{{truncate .ID 3}}|{{pad "x" 1 2}}|', "4b1| x  |"),
        ("{{len .Names}}", "2"),
        ("{{index .Names 1}}", "www"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{index .Ports "80/tcp" 0 | json}}', '{"HostIp":"0.0.0.0","HostPort":"8080"}'),
        ("{{range .Names}}[{{.}}]{{end}}", "[web][www]"),
        ("{{range $i, $n := .Names}}{{if $i}},{{end}}{{$n}}{{end}}", "web,www"),
        ("{{range $p, $conf := .Ports}}{{$p}} {{end}}", "443/tcp 80/tcp "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Names}}{{$.ID}} {{end}}", "4b1c0ffee 4b1c0ffee "),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Error}}bad{{else if eq .State.Pid 42}}42{{else}}other{{end}}", "42"),
        ("{{if and .State.Running (not .State.Error)}}fine{{end}}", "fine"),
        ("{{if or .State.Error .Empty}}x{{else}}y{{end}}", "y"),
        ("{{with .State}}{{.Pid}}{{end}}", "42"),
        ("{{with .State.Error}}x{{else}}y{{end}}", "y"),
        ("{{with $x := .State}}{{$x.Pid}}{{end}}", "42"),
        ('{{eq .ID "x" "4b1c0ffee"}} {{ne 1 2}} {{lt 1 2}} {{ge 2 2}}', "true true true true"),
        ('{{.Label "com.example"}}', "<com.example>"),
        ('{{println "a" 1}}', "a 1\n"),
        ('{{print "a" "b" 1 2}}', "ab1 2"),
        ('{{printf "%s=%d|%5s|%-5s|%q" "a" 1 "r" "l" "q"}}', 'a=1|    r|l    |"q"'),
        ('{{"quoted \\"text\\""}} {{`raw`}}', 'quoted "text" raw'),
        ("a {{- .State.Pid -}} b", "a42b"),
        ("{{/* nothing */}}x", "x"),
        ("{{$a := .ID}}{{$a}}", "4b1c0ffee"),
        ("{{slice .ID 0 4}}", "4b1c"),
    ],
)
def test_rendering(text: str, expected: str) -> None:
    assert Template(text).render(VALUE) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{.ID", "unclosed action"),
        ("{{if .ID}}", "{{end}} is missing"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{nothing .ID}}", "function 'nothing' not defined"),
        ("{{.ID.Deeper}}", "can't evaluate field Deeper"),
        ("{{index .Names 9}}", "index out of range"),
        ("{{$x}}", "undefined variable"),
        ("{{(.ID}}", "paren"),
        ("{{.ID ^}}", "unexpected"),
        ("{{}}", "missing value"),
        ("{{range .ID}}{{end}}", "range can't iterate"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text).render(VALUE)
    assert message in caught.value.message


def test_strict_as_inspect_is() -> None:
    with pytest.raises(TemplateError, match="map has no entry for key 'Nope'"):
        Template("{{.Nope}}", strict=True).render(VALUE)
    assert Template("{{.State.Health}}", strict=True).render(VALUE) == "<no value>"


def test_methods_are_no_part_of_the_whole() -> None:
    assert Template("{{.}}").render({"A": 1, "Label": VALUE["Label"]}) == "map[A:1]"
    assert Template("{{json .}}").render({"A": 1, "Label": VALUE["Label"]}) == '{"A":1}'
