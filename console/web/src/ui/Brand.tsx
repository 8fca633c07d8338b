import { useMessages } from '../messages';

/** The mark and the name: an ear that listens. */
export function Brand() {
  const text = useMessages();
  return (
    <span className="brand">
      <svg viewBox="0 0 32 32" width="32" height="32" aria-hidden="true" focusable="false">
        <rect width="32" height="32" rx="8" fill="var(--ds-color-accent-base-default)" />
        <g fill="none" stroke="var(--ds-color-accent-base-contrast-default)" strokeWidth="2.6" strokeLinecap="round">
          <path d="M9.5 14.5a6.5 6.5 0 0 1 13 0c0 4-3.4 4.6-3.4 7.4a3.1 3.1 0 0 1-5.7 1.7" />
          <path d="M13.2 14.6a2.9 2.9 0 0 1 5.7.4c0 1.7-1.8 2.1-2.4 3.5" />
        </g>
      </svg>
      {text.product}
    </span>
  );
}
