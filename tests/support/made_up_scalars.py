"""What Schemathesis sends for scalars of this schema; it imports this module by its name."""

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

# Nearly none of them is a cursor; each has to be refused as any other wrong text.
schemathesis.graphql.scalar("ChangeCursor", st.text().map(nodes.String))
