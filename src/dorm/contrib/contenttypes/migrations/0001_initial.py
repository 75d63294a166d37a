"""The table of content types."""

import dorm
from dorm import migrations
from dorm.contrib.contenttypes.models import ContentTypeManager

initial = True

dependencies: list[tuple[str, str]] = []

operations = [
    migrations.CreateModel(
        name="ContentType",
        fields=[
            ("id", dorm.BigAutoField(verbose_name="ID", primary_key=True, auto_created=True)),
            ("app_label", dorm.CharField(max_length=100)),
            ("model", dorm.CharField("python model class name", max_length=100)),
        ],
        options={
            "verbose_name": "content type",
            "verbose_name_plural": "content types",
            "db_table": "django_content_type",
            "unique_together": {("app_label", "model")},
        },
        managers=[("objects", ContentTypeManager())],
    ),
]
