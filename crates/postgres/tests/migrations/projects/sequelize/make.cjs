// Migrates a database by Sequelize's own migrator, all but the last migration.
const path = require('node:path');
if (process.argv[2] === 'version') {
  console.log('Sequelize', require('sequelize/package.json').version, 'umzug', require('umzug/package.json').version);
} else {
  const { Sequelize } = require('sequelize');
  const { Umzug, SequelizeStorage } = require('umzug');
  const sequelize = new Sequelize(process.env.DATABASE_URL, { logging: false });
  const umzug = new Umzug({
    migrations: {
      glob: path.join(__dirname, 'migrations/*.js'),
      resolve: ({ name, path: file, context }) => {
        const migration = require(file);
        return { name, up: () => migration.up(context, Sequelize), down: () => migration.down(context, Sequelize) };
      },
    },
    context: sequelize.getQueryInterface(),
    storage: new SequelizeStorage({ sequelize }),
  });
  (async () => {
    await umzug.up({ step: 2 });
    await sequelize.close();
  })();
}
