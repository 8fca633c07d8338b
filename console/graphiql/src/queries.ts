/** What an administrator looks for: one tab each. */
export const queries = [
  `# The last events that were not applied, and why.
query FailedEvents {
  syncLog(first: 10, filter: { status: [FAILED, DEAD, REJECTED] }) {
    edges {
      node {
        id
        eventType
        receivedAt
        status
        detail
        attempts
        nextAttemptAt
        member {
          displayName
        }
      }
    }
  }
}
`,
  `# What the portal told of a member. Write another name or
# member number into "search".
query HistoryOfMember {
  members(first: 1, filter: { search: "" }) {
    edges {
      node {
        displayName
        state
        accessLevel
        syncLog(first: 10) {
          edges {
            node {
              eventType
              occurredAt
              status
              outcome
              changes {
                field
                before
                after
              }
            }
          }
        }
      }
    }
  }
}
`,
  `# Events as they come, until you stop it.
# A heartbeat tells that the line is open.
subscription LiveLog {
  syncLogChanges {
    __typename
    ... on SyncLogChange {
      operation
      entry {
        eventType
        receivedAt
        status
        outcome
        detail
        member {
          displayName
        }
      }
    }
    ... on StreamHeartbeat {
      serverTime
    }
  }
}
`,
  `# The first page of members, and where in the feed it was read: subscribe
# to memberChanges(after: changeCursor) and no change is missed.
query Members {
  members(first: 10) {
    totalCount
    edges {
      node {
        displayName
        state
        accessLevel
        organization {
          name
        }
        roles {
          role {
            code
          }
        }
      }
    }
    changeCursor
  }
}
`,
];
