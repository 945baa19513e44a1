import pytest

from proxy.admin.passwords import NOBODY, hash_password, verify_password


def test_a_password_is_known_again_and_another_is_not():
    made = hash_password("pässword $ with all")
    assert verify_password("pässword $ with all", made)
    assert not verify_password("password", made)
    assert "pässword" not in made


def test_nobodys_hash_is_well_formed_and_costs_as_much():
    assert NOBODY.split("$")[:4] == hash_password("x").split("$")[:4]
    assert [len(part) for part in NOBODY.split("$")] == [len(part) for part in hash_password("x").split("$")]
    assert not verify_password("", NOBODY)


def test_the_same_password_gives_another_hash_each_time():
    assert hash_password("x") != hash_password("x")


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "secret",
        "scrypt$1$2",
        "bcrypt$1$8$1$AA==$AA==",
        "scrypt$x$8$1$AA==$AA==",
        "scrypt$3$8$1$AA==$AA==",
        "scrypt$1048576$64$64$AA==$AA==",
        "scrypt$32768$8$1$!$!",
    ],
)
def test_a_hash_that_is_none_matches_nothing(broken):
    assert not verify_password("secret", broken)
