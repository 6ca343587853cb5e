"""What is made of URLs of PostgreSQLs, as libpq and SQLAlchemy write them."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy import BackendRejected
from jhub_kvproxy_backends._postgres_schema import Schema
from jhub_kvproxy_backends._postgres_url import is_postgres, parse_url


@pytest.mark.parametrize(
    ("url", "hosts", "place"),
    [
        ("postgresql://h/d", [("h", 5432)], "h:5432/d"),
        ("postgres://u@h:1/d", [("h", 1)], "h:1/d"),
        ("postgresql+asyncpg://u:p@a,b:2/d", [("a", 5432), ("b", 2)], "a:5432,b:2/d"),
        ("postgresql://a,b/d?port=1,2", [("a", 1), ("b", 2)], "a:1,b:2/d"),
        ("postgresql://a,b/d?port=7", [("a", 7), ("b", 7)], "a:7,b:7/d"),
        ("postgresql+psycopg2://u@/d?host=a:1&host=b:2", [("a", 1), ("b", 2)], "a:1,b:2/d"),
        ("postgresql://[::1]:3,[fe80::1]/d", [("::1", 3), ("fe80::1", 5432)], "[::1]:3,[fe80::1]:5432/d"),
        ("postgresql:///d?host=/run/postgresql", [("/run/postgresql", 5432)], "/run/postgresql:5432/d"),
        ("postgresql://%2Frun%2Fpostgresql/d", [("/run/postgresql", 5432)], "/run/postgresql:5432/d"),
        ("postgresql://", [], "this machine/"),
        ("postgresql:///d?port=6432", [], "this machine:6432/d"),
        ("postgresql://[::1]/a#b", [("::1", 5432)], "[::1]:5432/a#b"),
    ],
)
def test_hosts(url, hosts, place):
    address = parse_url(url, {})
    assert list(address.hosts) == hosts
    assert address.place() == place


def test_logins_and_parameters():
    address = parse_url("postgresql://u%40x:p%3A%2F@h/d%2F?sslmode=require&passfile=/p&connect_timeout=3", {})
    assert (address.user, address.password, address.database) == ("u@x", "p:/", "d/")
    assert (address.sslmode, address.passfile) == ("require", "/p")
    assert "p:/" not in repr(address)
    address = parse_url("postgresql://h?user=u&password=p&dbname=d", {})
    assert (address.user, address.password, address.database) == ("u", "p", "d")
    address = parse_url("postgresql+asyncpg://h/d?ssl=verify-full", {"PGSSLMODE": "disable"})
    assert (address.user, address.password, address.sslmode) == (None, None, "verify-full")


@pytest.mark.parametrize(
    "password", ["123/abc", "a?b=c", "a#b", "a@b", "a:b", "a%25b", "[", "a%40b/c", "p+w", "?#/", ""]
)
def test_passwords_may_have_what_sqlalchemy_lets_them_have(password):
    address = parse_url(f"postgresql://hub:{password}@db:7/jupyterhub?sslmode=require", {})
    assert (address.user, address.password or "") == ("hub", unquote(password))
    assert (address.place(), address.sslmode) == ("db:7/jupyterhub", "require")


@pytest.mark.parametrize("password", ["a@b/c", "a@b?c", "a@b?c=d", "a@b/c?d=e", "a@1/b@c"])
def test_a_password_that_cannot_be_told_from_the_rest_is_refused_and_not_shown(password):
    with pytest.raises(BackendRejected, match="percent-encode") as error:
        parse_url(f"postgresql://hub:{password}@db/jupyterhub", {})
    assert not any(part in str(error.value) for part in ("c=d", "d=e", "b/c", password))
    encoded = quote(password, safe="")
    assert parse_url(f"postgresql://hub:{encoded}@db/jupyterhub", {}).password == password


def test_users_may_have_an_at_sign_as_sqlalchemy_lets_them():
    address = parse_url("postgresql://u@h:p@db/d", {})
    assert (address.user, address.password, address.place()) == ("u@h", "p", "db:5432/d")
    address = parse_url("postgresql://db/d?user=u@h", {})
    assert (address.user, address.password, address.place()) == ("u@h", None, "db:5432/d")


def test_the_environment_stands_in_for_what_is_left_out():
    environment = {"PGHOST": "a,b", "PGPORT": "7", "PGSSLMODE": "require", "PGTARGETSESSIONATTRS": "any"}
    address = parse_url("postgresql:///d", environment)
    assert (address.hosts, address.sslmode, address.target) == ((("a", 7), ("b", 7)), "require", "any")
    address = parse_url("postgresql://h:1/d?sslmode=disable", environment)
    assert (address.hosts, address.sslmode) == ((("h", 1),), "disable")


@pytest.mark.parametrize(
    ("parameters", "environment", "mode"),
    [
        ("", {}, "prefer"),
        ("sslrootcert=/ca", {}, "prefer"),
        ("sslrootcert=system", {}, "verify-full"),
        ("sslrootcert=system&sslmode=verify-full", {}, "verify-full"),
        ("", {"PGSSLROOTCERT": "system"}, "verify-full"),
        ("sslmode=verify-ca&sslrootcert=/ca", {}, "verify-ca"),
        ("gssencmode=prefer", {}, "prefer"),
    ],
)
def test_modes_of_tls(parameters, environment, mode):
    assert parse_url(f"postgresql://h/d?{parameters}", environment).sslmode == mode


@pytest.mark.parametrize(
    ("parameters", "environment", "words"),
    [
        *((f"sslrootcert=system&sslmode={mode}", {}, "verify-full") for mode in ("disable", "prefer", "require")),
        ("sslrootcert=system&sslmode=verify-ca", {}, "verify-full"),
        ("sslrootcert=system", {"PGSSLMODE": "require"}, "verify-full"),
        ("sslmode=verify-ca", {}, "verify-full"),
        ("gssencmode=require", {}, "gssencmode"),
        ("", {"PGGSSENCMODE": "require"}, "gssencmode"),
    ],
)
def test_modes_that_are_weaker_than_they_look_are_refused(parameters, environment, words):
    with pytest.raises(BackendRejected, match=words):
        parse_url(f"postgresql://h/d?{parameters}", environment)


def test_servers_that_tell_of_no_changes_are_not_looked_for():
    for target in ("any", "primary", "read-write"):
        assert parse_url("postgresql://h/d", {"PGTARGETSESSIONATTRS": target}).target == target
    for target in ("read-only", "standby", "prefer-standby"):
        with pytest.raises(BackendRejected, match="LISTEN"):
            parse_url(f"postgresql://h/d?target_session_attrs={target}", {})


def test_which_urls_are_of_a_postgresql():
    for url in ("postgresql://h/d", "postgres://h/d", "postgresql+psycopg://h/d", "postgresql+psycopg2:///d"):
        assert is_postgres(url)
    for url in ("sqlite:///x", "mysql://h/d", "postgresql+pg8000://h/d", "postgresql", "", None, 7):
        assert not is_postgres(url)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_makes_another_error_and_none_shows_a_password(before, after):
    said = ""
    try:
        parse_url(f"postgresql://u:the-password@{before}/d?{after}", {})
    except BackendRejected as error:
        said = str(error)
    assert "the-password" not in said


@pytest.mark.parametrize("name", ["", "A", "a-b", 'a"', "a;b", "1a", "a" * 64])
def test_names_that_no_schema_may_have(name):
    with pytest.raises(BackendRejected):
        Schema(name)


def test_tables_of_different_hubs_have_different_channels():
    names = {Schema(schema).channel(prefix) for schema in ("a", "a1") for prefix in ("", "1", "a", "11")}
    assert len(names) == 8
    assert all(len(name) < 64 for name in names)
