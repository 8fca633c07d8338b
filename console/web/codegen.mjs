/**
 * Writes src/api/operations.ts: the types and documents of the operations in src/api/*.graphql, checked against the
 * service's schema. `node codegen.mjs --check` writes nothing and fails where the file is not what would be written.
 */
import { readFile, readdir, writeFile } from 'node:fs/promises';

import { codegen } from '@graphql-codegen/core';
import * as typedDocumentNode from '@graphql-codegen/typed-document-node';
import * as operations from '@graphql-codegen/typescript-operations';
import { buildSchema, parse, printSchema, validate } from 'graphql';

const folder = new URL('src/api/', import.meta.url);
const target = new URL('operations.ts', folder);

const schema = buildSchema(await readFile(new URL('../../schema/schema.graphql', import.meta.url), 'utf8'));
const documents = await Promise.all(
  (await readdir(folder))
    .filter((name) => name.endsWith('.graphql'))
    .sort()
    .map(async (location) => ({ location, document: parse(await readFile(new URL(location, folder), 'utf8')) })),
);
const all = { kind: 'Document', definitions: documents.flatMap(({ document }) => document.definitions) };
for (const error of validate(schema, all)) throw error;

const output = await codegen({
  filename: 'operations.ts',
  schema: parse(printSchema(schema)),
  documents,
  config: {
    useTypeImports: true,
    enumType: 'string-literal',
    scalars: { DateTime: 'string', ChangeCursor: 'string' },
    dedupeFragments: true,
  },
  plugins: [{ operations: {} }, { typedDocumentNode: {} }],
  pluginMap: { operations, typedDocumentNode },
});
const written = `// Written by \`npm run codegen\` from the .graphql files beside it. Not for editing.\n${output}`;

if (process.argv.includes('--check')) {
  if ((await readFile(target, 'utf8')) !== written) {
    console.error('src/api/operations.ts is not what the schema and the .graphql files say: npm run codegen');
    process.exit(1);
  }
} else {
  await writeFile(target, written);
}
