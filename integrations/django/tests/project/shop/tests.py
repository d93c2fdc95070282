"""For `manage.py test`."""

from django.test import TestCase

from .models import Product


class ProductTest(TestCase):
    """Enough to need a test database."""

    def test_a_product_is_kept(self) -> None:
        Product.objects.create(name="lamp", price="9.90")
        self.assertEqual(Product.objects.count(), 1)
