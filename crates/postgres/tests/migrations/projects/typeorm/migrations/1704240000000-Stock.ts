import { MigrationInterface, QueryRunner } from 'typeorm';

export class Stock1704240000000 implements MigrationInterface {
  public async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE stock (id bigint PRIMARY KEY)');
  }
  public async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE stock');
  }
}
