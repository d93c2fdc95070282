// Migrates a database by Prisma's schema engine, compiled to WebAssembly. The second migration fails, is marked as rolled back
// and applied then; the third one fails and is left at that.
const fs = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const engineFolder = path.dirname(require.resolve('@prisma/schema-engine-wasm'));
const migrations = path.join(__dirname, 'migrations');

async function load() {
  const glue = await import(pathToFileURL(path.join(engineFolder, 'schema_engine_bg.js')));
  const bytes = fs.readFileSync(path.join(engineFolder, 'schema_engine_bg.wasm'));
  const { instance } = await WebAssembly.instantiate(bytes, { './schema_engine_bg.js': glue });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return glue.SchemaEngine;
}

function input(count) {
  const folders = fs.readdirSync(migrations).filter((name) => !name.endsWith('.toml'));
  const names = folders.sort().slice(0, count);
  const read = (...names) => fs.readFileSync(path.join(migrations, ...names), 'utf8');
  return {
    migrationsList: {
      baseDir: migrations,
      lockfile: { path: 'migration_lock.toml', content: read('migration_lock.toml') },
      shadowDbInitScript: '',
      migrationDirectories: names.map((name) => ({
        path: name,
        migrationFile: {
          path: 'migration.sql',
          content: { tag: 'ok', value: read(name, 'migration.sql') },
        },
      })),
    },
    filters: { externalTables: [], externalEnums: [] },
  };
}

async function migrate() {
  const { PrismaPg } = require('@prisma/adapter-pg');
  const { bindMigrationAwareSqlAdapterFactory } = require('@prisma/driver-adapter-utils');
  const { Client } = require('pg');
  const url = process.env.DATABASE_URL;
  const SchemaEngine = await load();
  const adapter = bindMigrationAwareSqlAdapterFactory(new PrismaPg({ connectionString: url }));
  const engine = await SchemaEngine.new({ datamodels: undefined }, () => {}, adapter);
  const database = new Client({ connectionString: url });
  await database.connect();
  const failing = async (name) => {
    const error = await engine.applyMigrations(input()).then(
      () => 'nothing failed',
      (e) => String(e.message),
    );
    if (!error.includes(name)) throw new Error(error);
  };

  await engine.applyMigrations(input(1));
  await database.query('CREATE TABLE orders ()');
  await failing('20240102000000_orders');
  await database.query('DROP TABLE orders');
  await engine.markMigrationRolledBack({ migrationName: '20240102000000_orders' });
  await failing('20240103000000_stock');
  await database.end();
}

if (process.argv[2] === 'version') {
  const { version } = JSON.parse(fs.readFileSync(path.join(engineFolder, 'package.json'), 'utf8'));
  console.log(`Prisma (@prisma/schema-engine-wasm ${version})`);
} else {
  migrate().then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}
