"""pytest-django: a project with a database on SQLite."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from inner_compare import assert_same

if TYPE_CHECKING:
    from inner import Suite

pytest.importorskip("pytest_django")

SETTINGS = """
SECRET_KEY = "x"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
STATIC_URL = "/static/"
"""
URLS = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("hello"))]
"""
MODELS = """
from django.db import models
class Thing(models.Model):
    name = models.CharField(max_length=10)
"""
TESTS = """
import urllib.request
import pytest
from django.core.management import call_command
from django.test import TestCase
from shop.models import Thing

@pytest.mark.django_db
@pytest.mark.parametrize("name", ["a", "b"])
def test_rolls_back(name):
    assert Thing.objects.count() == 0
    Thing.objects.create(name=name)

@pytest.mark.django_db(transaction=True)
def test_transaction():
    Thing.objects.create(name="a")
    assert Thing.objects.count() == 1

def test_without_the_mark(): Thing.objects.count()

def test_client(client, settings):
    settings.DEBUG = True
    assert client.get("/").content == b"hello"

def test_admin(admin_user): assert admin_user.is_superuser

class TestThing(TestCase):
    @classmethod
    def setUpTestData(cls): Thing.objects.create(name="shared")
    def test_one(self): assert Thing.objects.count() == 1
    def test_two(self):
        Thing.objects.all().delete()
        assert Thing.objects.count() == 0

def test_live_server(live_server):
    with urllib.request.urlopen(live_server.url) as answer: text = answer.read()
    assert text == b"hello"

@pytest.mark.django_db
def test_queries(django_assert_num_queries):
    with django_assert_num_queries(2): Thing.objects.count()
"""


@pytest.fixture
def project(suite: Suite) -> Suite:
    """Give a project of Django."""
    suite.pytester.makeini("[pytest]\nDJANGO_SETTINGS_MODULE = settings\npythonpath = .")
    suite.pytester.mkpydir("shop").joinpath("models.py").write_text(MODELS)
    suite.write(settings=SETTINGS, urls=URLS, test_shop=TESTS)
    return suite


@pytest.mark.parametrize("options", [[], ["--fork-jobs=3"]], ids=" ".join)
def test_as_without_forks(project: Suite, options: list[str]) -> None:
    """Databases, transactions, test cases, clients and live servers."""
    plain, forked = project.plain("-p", "django"), project.forked("-p", "django", *options)
    assert_same(plain, forked)
    outcomes = forked.outcomes()
    assert {name for name, outcome in outcomes.items() if outcome == "failed"} == {
        "test_without_the_mark",
        "test_queries",
    }, forked.out


def test_a_database_in_a_file(project: Suite) -> None:
    """It is made and destroyed for each test; two that run at a time need one each, as the compatibility page says."""
    with_file = SETTINGS.replace('"db.sqlite3"', '"db.sqlite3", "TEST": {"NAME": "test.sqlite3"}')
    project.write(
        settings=with_file,
        conftest="""
        import os
        import pytest
        @pytest.fixture(scope="session")
        def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix):
            from django.db import connections
            for connection in connections.all():
                connection.settings_dict["TEST"]["NAME"] += f".{os.getpid()}"
        """,
    )
    plain, forked = project.plain("-p", "django"), project.forked("-p", "django", "--fork-jobs=2")
    assert forked.outcomes() == plain.outcomes(), forked.out
    assert not [path.name for path in project.path.iterdir() if re.match(r"test\.sqlite3", path.name)]
