"""Fills the shop, for tests."""

from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.files.base import ContentFile
from django.core.management.base import BaseCommand

from shop.models import Note, Product


class Command(BaseCommand):
    """Fills the shop."""

    def handle(self, *args: Any, **options: Any) -> None:
        lamp = Product(name='größer: "lamp"', price="9.90")
        lamp.picture.save("lamp.jpg", ContentFile(b"a picture of a lamp"))
        table = Product.objects.create(name="table", price="120.00")
        table.related.add(lamp)
        Note.objects.create(about=table, text="sold\nout")
        clerk = User.objects.create_user("clerk", password="secret of the clerk")
        clerk.user_permissions.set(Permission.objects.filter(codename="change_product"))
