/** All texts of the console, in Norwegian bokmål. The other languages have the same keys. */
const many = (count: number, one: string, other: string): string => (count === 1 ? `1 ${one}` : `${number(count)} ${other}`);
const number = (value: number): string => new Intl.NumberFormat('nb-NO').format(value);

export const nb = {
  locale: 'nb-NO',
  product: 'Likeperson Sync',
  skipToContent: 'Hopp til hovedinnhold',
  loading: 'Laster inn',
  none: '–',
  notFound: { title: 'Siden finnes ikke', text: 'Adressen fører ikke til noen side her.', home: 'Til medlemmene' },

  signIn: {
    title: 'Logg inn',
    lead: 'Her ser du medlemmene i dine lag slik de er i Min side akkurat nå.',
    oidc: 'Logg inn',
    as: 'Vis som …',
    asLead: 'Dette er en utviklingsversjon. Velg hvem du vil se løsningen som.',
    operator: 'Operatør',
    operatorPlace: 'Ser alt',
    noWay: 'Innlogging er ikke satt opp på denne tjenesten. Åpne en lenke med adgangstegn for å komme inn.',
    trouble: {
      expired: 'Økten din er utløpt. Logg inn på nytt for å fortsette.',
      inactive: 'Medlemskapet ditt er ikke aktivt, så du har ikke tilgang.',
      failed: 'Innloggingen ble ikke fullført. Prøv en gang til.',
      unreachable: 'Vi får ikke kontakt med tjenesten. Last siden på nytt om litt.',
    },
  },

  nav: {
    label: 'Hovedmeny',
    members: 'Medlemmer',
    log: 'Synkroniseringslogg',
    health: 'Tilstand',
    roles: 'Roller',
  },

  menu: {
    label: 'Innstillinger',
    theme: 'Utseende',
    themes: { auto: 'Som enheten', light: 'Lyst', dark: 'Mørkt' },
    language: 'Språk',
    signOut: 'Logg ut',
    operator: 'Operatør',
  },

  link: {
    connecting: 'Kobler til',
    live: 'Direkte',
    lost: 'Frakoblet',
    liveText: 'Endringer vises med en gang de skjer.',
    lostText: 'Forbindelsen er brutt. Vi prøver igjen av oss selv, og henter alt som skjer i mellomtiden.',
    connectingText: 'Vi kobler til tjenesten.',
    retry: 'Prøv nå',
    saidLost: 'Forbindelsen er brutt.',
    saidLive: 'Forbindelsen er tilbake.',
  },

  announce: {
    fold: (count: number) => many(count, 'endring', 'endringer'),
    added: (name: string) => `${name} kom til i listen`,
    removed: (name: string) => `${name} er ikke lenger i listen`,
    changed: (name: string, what: string) => `${name}: ${what} er endret`,
  },

  failure: {
    title: 'Noe gikk galt',
    text: 'Vi klarte ikke å hente dette. Prøv igjen om litt.',
    network: 'Vi får ikke kontakt med tjenesten. Sjekk nettforbindelsen din.',
    forbidden: 'Du har ikke tilgang til dette.',
    retry: 'Prøv igjen',
  },

  state: { ACTIVE: 'Aktiv', INACTIVE: 'Inaktiv' },
  access: {
    NONE: 'Ingen tilgang',
    MEMBER: 'Medlem',
    PEER_MENTOR: 'Likeperson',
    COORDINATOR: 'Koordinator',
    ADMIN: 'Administrator',
  },
  roles: {
    member: 'Medlem',
    'peer-mentor': 'Likeperson',
    coordinator: 'Koordinator',
    'organization-administrator': 'Lagsadministrator',
  } as Record<string, string>,

  members: {
    title: 'Medlemmer',
    count: (count: number) => many(count, 'medlem', 'medlemmer'),
    search: 'Søk',
    searchHint: 'Navn, medlemsnummer eller e-post',
    state: 'Tilstand',
    role: 'Rolle',
    chapter: 'Lag',
    all: 'Alle',
    allChapters: 'Alle lag',
    unnamed: 'Lag uten navn',
    reset: 'Nullstill',
    table: 'Medlemmer',
    empty: 'Ingen medlemmer passer til søket.',
    emptyHint: 'Prøv færre ord, eller nullstill filtrene.',
    fresh: 'Endret nå',
    added: 'Ny',
    columns: {
      name: 'Navn',
      number: 'Medlemsnr.',
      chapter: 'Lag',
      roles: 'Roller',
      state: 'Tilstand',
      updated: 'Sist endret',
    },
    changedFields: {
      name: 'navn',
      number: 'medlemsnummer',
      chapter: 'lag',
      roles: 'roller',
      state: 'tilstand',
      updated: 'opplysninger',
    },
  },

  pager: {
    label: 'Sider',
    previous: 'Forrige',
    next: 'Neste',
    position: (from: number, to: number, total: number) => `${number(from)}–${number(to)} av ${number(total)}`,
    size: 'Per side',
  },

  time: { justNow: 'nå nettopp' },
};

export type Messages = typeof nb;
