/** The console's texts in English. */
import type { Messages } from './nb';

const many = (count: number, one: string, other: string): string => (count === 1 ? `1 ${one}` : `${number(count)} ${other}`);
const number = (value: number): string => new Intl.NumberFormat('en-GB').format(value);

export const en: Messages = {
  locale: 'en-GB',
  product: 'Likeperson Sync',
  skipToContent: 'Skip to main content',
  loading: 'Loading',
  none: '–',
  notFound: { title: 'Page not found', text: 'There is no page at this address.', home: 'To the members' },

  signIn: {
    title: 'Sign in',
    lead: 'Here you see the members of your chapters as they are in Min side right now.',
    oidc: 'Sign in',
    as: 'View as …',
    asLead: 'This is a development version. Choose whom you want to see it as.',
    operator: 'Operator',
    operatorPlace: 'Sees everything',
    noWay: 'Sign-in is not set up for this service. Open a link with an access token to get in.',
    trouble: {
      expired: 'Your session has expired. Sign in again to go on.',
      inactive: 'Your membership is not active, so you have no access.',
      failed: 'Sign-in was not completed. Please try once more.',
      unreachable: 'The service cannot be reached. Reload the page in a moment.',
    },
  },

  nav: {
    label: 'Main menu',
    members: 'Members',
    log: 'Sync log',
    health: 'Health',
    roles: 'Roles',
  },

  menu: {
    label: 'Settings',
    theme: 'Appearance',
    themes: { auto: 'As the device', light: 'Light', dark: 'Dark' },
    language: 'Language',
    signOut: 'Sign out',
    operator: 'Operator',
  },

  link: {
    connecting: 'Connecting',
    live: 'Live',
    lost: 'Disconnected',
    liveText: 'Changes are shown the moment they happen.',
    lostText: 'The connection is lost. It is tried again by itself, and everything that happens meanwhile is fetched.',
    connectingText: 'Connecting to the service.',
    retry: 'Try now',
    saidLost: 'The connection is lost.',
    saidLive: 'The connection is back.',
  },

  announce: {
    fold: (count) => many(count, 'change', 'changes'),
    added: (name) => `${name} came into the list`,
    removed: (name) => `${name} is no longer in the list`,
    changed: (name, what) => `${name}: ${what} changed`,
  },

  failure: {
    title: 'Something went wrong',
    text: 'This could not be fetched. Please try again in a moment.',
    network: 'The service cannot be reached. Check your network connection.',
    forbidden: 'You do not have access to this.',
    retry: 'Try again',
  },

  state: { ACTIVE: 'Active', INACTIVE: 'Inactive' },
  access: {
    NONE: 'No access',
    MEMBER: 'Member',
    PEER_MENTOR: 'Peer mentor',
    COORDINATOR: 'Coordinator',
    ADMIN: 'Administrator',
  },
  roles: {
    member: 'Member',
    'peer-mentor': 'Peer mentor',
    coordinator: 'Coordinator',
    'organization-administrator': 'Chapter administrator',
  },

  members: {
    title: 'Members',
    count: (count) => many(count, 'member', 'members'),
    search: 'Search',
    searchHint: 'Name, member number or e-mail',
    state: 'State',
    role: 'Role',
    chapter: 'Chapter',
    all: 'All',
    allChapters: 'All chapters',
    unnamed: 'Chapter without a name',
    reset: 'Reset',
    table: 'Members',
    empty: 'No members match.',
    emptyHint: 'Try fewer words, or reset the filters.',
    fresh: 'Changed now',
    added: 'New',
    columns: {
      name: 'Name',
      number: 'Member no.',
      chapter: 'Chapter',
      roles: 'Roles',
      state: 'State',
      updated: 'Last change',
    },
    changedFields: {
      name: 'name',
      number: 'member number',
      chapter: 'chapter',
      roles: 'roles',
      state: 'state',
      updated: 'details',
    },
  },

  pager: {
    label: 'Pages',
    previous: 'Previous',
    next: 'Next',
    position: (from, to, total) => `${number(from)}–${number(to)} of ${number(total)}`,
    size: 'Per page',
  },

  time: { justNow: 'just now' },
};
