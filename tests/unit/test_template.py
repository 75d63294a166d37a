"""Templates of statements: test vectors, idempotence, and that nothing but values is folded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings as checks, strategies as st

from dorm.db.backends.lexes import BY_VENDOR
from dorm.db.lexer import Unlexable, _check_quotes, lexemes
from dorm.db.shown import shown_params
from dorm.db.template import UNPARSABLE, normalize, templates

_READS = 'SELECT "a"."x" FROM "a" WHERE "a"."id" = '
_READ_TEMPLATE = _READS + "?"

VECTORS = [
    ("select  a,b from t where id in (1, 2,3) -- x", "SELECT a, b FROM t WHERE id IN(?)"),
    *[(_READS + value, _READ_TEMPLATE) for value in ("$1", "%s", "%(id)s", "?", ":id", "42", "'42'", "-42", "- 42")],
    ("INSERT INTO t (a, b) VALUES (%s, %s), (%s, %s);", "INSERT INTO t(a, b) VALUES(?, ?)"),
    ("INSERT INTO t (a, b) VALUES ($1,$2),($3,$4)", "INSERT INTO t(a, b) VALUES(?, ?)"),
    ("INSERT INTO t (a, b) VALUES (1, 2, 3)", "INSERT INTO t(a, b) VALUES(?, ?, ?)"),
    (r"SELECT E'\'', $q$x'y$q$, 'it''s', 1.5e-3, 0xFF", "SELECT ?, ?, ?, ?, ?"),
    (r"SELECT e'\'', u&'\0041', x'ff', b'01', n'x', 1_000, .5, 0o17", "SELECT ?, ?, ?, ?, ?, ?, ?, ?"),
    ("a = -5", "a = ?"),
    ("a - 5", "a - ?"),
    ("a - -5", "a - ?"),
    ("col1 = 2", "col1 = ?"),
    ("x IS NULL", "x IS NULL"),
    ("x = %s", "x = ?"),
    ("x = TRUE", "x = ?"),
    ("SELECT 1; DROP TABLE t", "SELECT ?; DROP TABLE t"),
    ("SELECT /* a /* nested */ b */ 1", "SELECT ?"),
    ("SELECT /*+ SeqScan(t) */ x FROM t", "SELECT /*+ SeqScan(t) */ x FROM t"),
    ("id IN (SELECT id FROM u)", "id IN(SELECT id FROM u)"),
    ("x IN ((1,2),(3,4))", "x IN((?, ?))"),
    ("x = ANY($1)", "x = ANY(?)"),
    ('SELECT x FROM "Users"', 'SELECT x FROM "Users"'),
    ("SELECT x FROM Users", "SELECT x FROM users"),
    ("select a%%2, a % b", "SELECT a % ?, a % b"),
    ("a = $1 and b=$23::int and c=$t$ $1 $t$", "a = ? AND b = ?::int AND c = ?"),
    ("SELECT a$$; DROP TABLE t; SELECT b$$", "SELECT a$$; DROP TABLE t; SELECT b$$"),
    ("EXPLAIN ANALYZE DELETE FROM t WHERE x = 'a'", "EXPLAIN ANALYZE DELETE FROM t WHERE x = ?"),
    ("limit 10 offset 20", "LIMIT ? OFFSET ?"),
    ("SELECT \u00c9, ban\u212a, fal\u017fe FROM T", "SELECT \u00c9, ban\u212a, fal\u017fe FROM t"),
    ("SELECT t.true, t . FALSE, true FROM t", "SELECT t.true, t.FALSE, ? FROM t"),
    ("SELECT U&\"a!0062\" UESCAPE '!' FROM t", "SELECT U&\"a!0062\" uescape '!' FROM t"),
    ("SELECT a[1], a[:b], a[2:b] FROM t", "SELECT a [ ? ], a [ : b ], a [ ? : b ] FROM t"),
    ("SELECT 1 -- x\r, 2 -- y\r\n, 3 -- z", "SELECT ?, ?, ?"),
]


@pytest.mark.parametrize(("sql", "template"), VECTORS)
def test_the_template_of_a_text(sql: str, template: str) -> None:
    assert normalize(sql) == template
    assert normalize(template) == template


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'abc",
        'SELECT "abc',
        "SELECT /* a",
        "SELECT $q$ abc",
        "SELECT a\u00a0, b",
        'SELECT "a"$1',
        "a\0b",
        "SELECT E'abc'\n'\\'', b --'",
    ],
)
def test_what_cannot_be_read_says_so_without_its_values(sql: str) -> None:
    template = normalize(sql)
    assert template.startswith(UNPARSABLE)
    assert "abc" not in template


@pytest.mark.parametrize(
    ("vendor", "sql", "wanted"),
    [
        ("mysql", "SELECT /*!50000 SLEEP(5) */ 1", ("SELECT /*!50000 SLEEP(5) */ ?",)),
        ("mysql", 'SELECT `a` FROM `t` WHERE b = "x"', ("SELECT `a` FROM `t` WHERE b = ?",)),
        ("mysql", "SELECT 'a\\'b' # c\n, 1", ("SELECT ?, ?",)),
        ("sqlite", "SELECT 1 /* /* */ ; DROP TABLE t -- */ */", ("SELECT ?", "DROP TABLE t")),
        ("sqlite", "SELECT 1 -- a\r, 2\n, 3", ("SELECT ?, ?",)),
        (
            "sqlite",
            "SELECT 'a', t.'a' FROM 'b' WHERE a IS NOT DISTINCT FROM 'c'",
            ("SELECT ?, t.'a' FROM 'b' WHERE a IS NOT DISTINCT FROM ?",),
        ),
        ("postgresql", "SELECT trim(both 'x' from 'y')", ("SELECT trim(both ? FROM ?)",)),
        ("mysql", "SELECT a FROM db.2024, db.1e5, 2024_01", ("SELECT a FROM db.2024, db.1e5, 2024_01",)),
        ("sqlite", "SELECT [a b], ?1, :x, @y, $z FROM T", ("SELECT [a b], ?, ?, ?, ? FROM t",)),
        (
            "sqlite",
            "CREATE TRIGGER x AFTER UPDATE ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT 3; END; SELECT 4",
            (
                "CREATE TRIGGER x AFTER UPDATE ON t BEGIN SELECT CASE WHEN ? THEN ? END; SELECT ?; END",
                "SELECT ?",
            ),
        ),
    ],
)
def test_each_engine_is_read_by_its_own_rules(vendor: str, sql: str, wanted: tuple[str, ...]) -> None:
    assert templates(sql, vendor) == wanted


@pytest.mark.parametrize(
    ("vendor", "text", "before"),
    [
        ("postgresql", r"E'\'', (SELECT secret FROM t) --'", ""),
        ("postgresql", r"'\', a'", ""),
        ("postgresql", "'a'", "'"),
        ("postgresql", "$a$ $a$ || b || $a$", ""),
        ("postgresql", "$a", ""),
        ("postgresql", '"a" "b"', ""),
        ("sqlite", "[a] [b]", ""),
        ("sqlite", "`a` `b`", ""),
        ("mysql", r"'\'", ""),
        ("mysql", r"""'a\'' OR 'b'""", ""),
        ("mysql", r'''"a\"" OR "b"''', ""),
    ],
)
def test_quotes_that_a_tokeniser_reads_differently_are_refused(vendor: str, text: str, before: str) -> None:
    """Not each release of the tokeniser knows that backslashes escape in E'' strings."""
    kind = "HEREDOC_STRING" if text.startswith("$") else "STRING"
    with pytest.raises(Unlexable):
        _check_quotes(text, kind, before, BY_VENDOR[vendor])


_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
_VALUES = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.text(st.characters(exclude_characters="\0", codec="utf-8")).map(
        lambda text: "'" + text.replace("'", "''") + "'"
    ),
    st.sampled_from(["$1", "%s", "?", "$x$;--$x$", "E'\\'; DROP TABLE t'"]),
)


@checks(max_examples=150, deadline=None)
@given(_NAMES, _NAMES, _VALUES, _VALUES, st.lists(_VALUES, min_size=1, max_size=5))
def test_values_vanish_and_names_stay(table: str, column: str, one: str, two: str, many: list[str]) -> None:
    def shape(first: str, second: str, items: list[str]) -> str:
        listed = ", ".join(items)
        return f'SELECT "{column}" FROM "{table}" WHERE "{column}" = {first} AND b < {second} AND c IN ({listed})'

    template = normalize(shape(one, two, many))
    assert template == f'SELECT "{column}" FROM "{table}" WHERE "{column}" = ? AND b < ? AND c IN(?)'
    assert normalize(template) == template


@checks(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from("ab1 '\"$;-/*%(),.?:E\n\\[]`#@"), max_size=25),
    st.sampled_from(["postgresql", "sqlite", "mysql"]),
)
def test_any_text_has_a_template_and_it_is_stable(sql: str, vendor: str) -> None:
    template = normalize(sql, vendor)
    if not template.startswith(UNPARSABLE):
        assert normalize(template, vendor) == template
        assert all(each.text for each in lexemes(template, vendor))


def test_secret_columns_are_masked() -> None:
    insert = 'INSERT INTO "user" ("nick", "password") VALUES ($1, $2), ($3, $4)'
    assert shown_params(insert, ("ann", "s1", "bob", "s2"), "postgresql") == "('ann', ***, 'bob', ***)"
    update = "UPDATE user SET api_key = ?, age = ? WHERE id = ?"
    assert shown_params(update, ("k", 3, 4), "sqlite") == "(***, 3, 4)"
    compared = "SELECT id FROM user WHERE nick = %s AND auth_token = %s"
    assert shown_params(compared, ("ann", "t"), "postgresql") == "('ann', ***)"
    bulk = 'UPDATE "user" SET "password" = CASE WHEN "id" = ? THEN ? END'
    assert shown_params(bulk, (1, "s"), "sqlite") == "(***, ***)"
    assert shown_params("SELECT id FROM user WHERE nick = ?", ("x" * 1000,), "sqlite").endswith("...,)")


@pytest.mark.parametrize(
    ("vendor", "sql", "number"),
    [
        (
            "sqlite",
            "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT begin; END; SELECT 1",
            2,
        ),
        ("sqlite", "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", 1),
        (
            "sqlite",
            "CREATE TEMPORARY TRIGGER begin AFTER INSERT ON begin BEGIN SELECT 1; END; SELECT 1; DROP TABLE end",
            3,
        ),
        ("sqlite", "CREATE TEMP TABLE trigger (a); SELECT 1", 2),
        ("sqlite", "CREATE TABLE t (begin int); SELECT 1; END", 3),
        ("sqlite", "END; SELECT 1", 2),
        (
            "postgresql",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 1",
            2,
        ),
        ("postgresql", "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; END; SELECT 1", 2),
        ("postgresql", "CREATE PROCEDURE p() BEGIN ATOMIC END; SELECT 1", 2),
        ("postgresql", "CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION f(); SELECT 1; END", 3),
        ("postgresql", "CREATE FUNCTION f(begin atomic) RETURNS int LANGUAGE sql AS 'x'; SELECT 1; END", 3),
        ("postgresql", "CREATE TABLE t (a int) BEGIN ATOMIC; SELECT 1; END", 3),
        ("postgresql", "CREATE", 1),
        ("mysql", "CREATE PROCEDURE begin() SELECT 1; DELETE FROM t; END", 3),
    ],
)
def test_statements_end_where_they_end_for_the_engine(vendor: str, sql: str, number: int) -> None:
    assert len(templates(sql, vendor)) == number
