"""price"""

import sqlalchemy as sa
from alembic import op

revision = "2b3c4d5e6f70"
down_revision = "1a2b3c4d5e6f"


def upgrade():
    op.add_column("product", sa.Column("price", sa.Integer))


def downgrade():
    op.drop_column("product", "price")
