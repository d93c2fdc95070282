"""What the shop sells."""

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Product(models.Model):
    """Something to buy."""

    name = models.CharField(max_length=100, unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    picture = models.FileField(upload_to="pictures", blank=True)
    related = models.ManyToManyField("self", blank=True)


class Note(models.Model):
    """Words about anything."""

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    about = GenericForeignKey("content_type", "object_id")
    text = models.TextField()
