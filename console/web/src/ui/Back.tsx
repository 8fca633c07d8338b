import { Link } from '@digdir/designsystemet-react';
import { ArrowLeftIcon } from '@navikt/aksel-icons';
import { Link as To } from 'wouter';

const places = new Map<string, string>();

/** Remembers what a list showed last, so that the way back leads there. */
export function remember(path: string, params: URLSearchParams): void {
  const search = params.toString();
  places.set(path, search ? `${path}?${search}` : path);
}

/** The way back to a list, with the filters and the page that it showed last. */
export function Back({ href, children }: { href: string; children: string }) {
  return (
    <Link asChild className="back">
      <To href={places.get(href) ?? href}>
        <ArrowLeftIcon aria-hidden fontSize="1.25rem" />
        {children}
      </To>
    </Link>
  );
}
