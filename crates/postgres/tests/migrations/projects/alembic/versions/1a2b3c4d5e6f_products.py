"""products"""

import sqlalchemy as sa
from alembic import op

revision: str = "1a2b3c4d5e6f"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("product", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("name", sa.Text))


def downgrade() -> None:
    op.drop_table("product")
