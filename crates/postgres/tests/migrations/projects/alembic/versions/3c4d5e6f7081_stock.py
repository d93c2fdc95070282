"""stock"""

import sqlalchemy as sa
from alembic import op

revision = "3c4d5e6f7081"
down_revision = "1a2b3c4d5e6f"


def upgrade():
    op.add_column("product", sa.Column("stock", sa.Integer))


def downgrade():
    op.drop_column("product", "stock")
